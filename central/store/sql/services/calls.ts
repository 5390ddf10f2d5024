// The interface of service exposures as calls to the two database threads.
import type { Reader, Writer } from '../threads.ts';
import type { ExposureStore } from '../../services/exposure-store.ts';

export function exposureCalls(writer: Writer, reader: Reader): ExposureStore {
  return {
    create: (exposure, audit) => writer.call('createExposure', [audit, exposure]),
    list: () => reader.call('listExposures', []),
    change: (id, change, version, audit) => writer.call('changeExposure', [audit, id, change, version]),
    remove: (id, audit) => writer.call('removeExposure', [audit, id]),
    recordServices: (agentId, epoch, report) => writer.call('recordServices', [agentId, epoch, report], { lazy: true }),
    servicesOf: (agentId) => reader.call('servicesOf', [agentId]),
  };
}
