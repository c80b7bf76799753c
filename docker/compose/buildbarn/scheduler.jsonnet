// Knows in memory alone what waits and who works: after a restart clients ask again.
local common = import 'common.libsonnet';

{
  adminHttpServers: [{ listenAddresses: [':9980'], authenticationPolicy: common.allow }],
  clientGrpcServers: [common.server(8982)],
  workerGrpcServers: [common.server(8983)],
  browserUrl: 'http://browser.invalid/',
  contentAddressableStorage: {
    grpc: { address: 'storage:8980' },
  },
  maximumMessageSizeBytes: common.messageBytes,
  executeAuthorizer: common.allow,
  synchronizeAuthorizer: common.allow,
  modifyDrainsAuthorizer: common.allow,
  killOperationsAuthorizer: common.allow,
  // How long work waits for a worker of its platform before it is refused.
  platformQueueWithNoWorkersTimeout: '900s',
  actionRouter: {
    simple: {
      // The platform of the action; that of the command does not count. It must be equal to the worker's.
      platformKeyExtractor: { action: {} },
      invocationKeyExtractors: [{ toolInvocationId: {} }],
      initialSizeClassAnalyzer: {
        defaultExecutionTimeout: '3600s',
        maximumExecutionTimeout: '86400s',
      },
    },
  },
}
