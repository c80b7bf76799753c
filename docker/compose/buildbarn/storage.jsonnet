// Storage, action cache, and what clients speak to; it hands executions on to the scheduler.
local common = import 'common.libsonnet';

local gibibyte = 1024 * 1024 * 1024;

// Blocks of a file are filled one after the other, and the oldest is given up for a new one.
local onDisk(name, size, newBlocks) = {
  'local': {
    keyLocationMapOnBlockDevice: {
      file: { path: '/storage/%s/keys' % name, sizeBytes: 64 * 1024 * 1024 },
    },
    keyLocationMapMaximumGetAttempts: 16,
    keyLocationMapMaximumPutAttempts: 64,
    oldBlocks: 8,
    currentBlocks: 24,
    newBlocks: newBlocks,
    blocksOnBlockDevice: {
      source: { file: { path: '/storage/%s/blocks' % name, sizeBytes: size } },
      spareBlocks: 3,
    },
    persistent: {
      stateDirectoryPath: '/storage/%s/state' % name,
      minimumEpochInterval: '300s',
    },
  },
};

{
  grpcServers: [common.server(8980)],
  maximumMessageSizeBytes: common.messageBytes,
  schedulers: { '': { endpoint: { address: 'scheduler:8982' } } },
  executeAuthorizer: common.allow,
  contentAddressableStorage: {
    backend: onDisk('cas', 32 * gibibyte, 3),
    getAuthorizer: common.allow,
    putAuthorizer: common.allow,
    findMissingAuthorizer: common.allow,
  },
  // A result is given out only while all that it names is there.
  actionCache: {
    backend: {
      completenessChecking: {
        backend: onDisk('ac', gibibyte / 4, 1),
        maximumTotalTreeSizeBytes: 64 * 1024 * 1024,
      },
    },
    getAuthorizer: common.allow,
    // Workers write it. Clients that reach this port may, too: with a proxy in front, let only workers.
    putAuthorizer: common.allow,
  },
}
