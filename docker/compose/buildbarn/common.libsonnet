// What both programs say in the same way.
{
  // Whoever is in the network may.
  allow: { allow: {} },
  // The largest message; blobs beyond it come in parts.
  messageBytes: 16 * 1024 * 1024,
  server(port): {
    listenAddresses: [':%d' % port],
    authenticationPolicy: { allow: {} },
  },
}
