import { afterEach, describe, expect, it, vi } from 'vitest';
import { CodedError } from '../../../../shared/errors.ts';
import { WorkerHost, workerUrl } from '../../../../shared/sqlite/worker/host.ts';
import type { EchoCalls } from './echo-thread.ts';

const hosts: WorkerHost<EchoCalls>[] = [];

function start(kind: 'writer' | 'reader' | 'refuse') {
  const onFailure = vi.fn<(error: CodedError) => void>();
  const host = new WorkerHost<EchoCalls>({
    url: workerUrl('./echo-thread', import.meta.url),
    workerData: kind,
    onFailure,
  });
  hosts.push(host);
  return { host, onFailure };
}

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});

describe('workerUrl', () => {
  it('names the file of the same kind as the one that asks', () => {
    expect(workerUrl('./writer', 'file:///app/store.ts').href).toBe('file:///app/writer.ts');
    expect(workerUrl('./writer', 'file:///dist/store.js').href).toBe('file:///dist/writer.js');
  });
});

describe.each(['writer', 'reader'] as const)('WorkerHost with a %s', (kind) => {
  it('answers each call with its own result', async () => {
    const { host } = start(kind);
    await host.started();
    const calls = Array.from({ length: 100 }, (_, index) => host.call('echo', [`value ${index}`]));
    expect(host.waiting).toBe(100);
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 100 }, (_, index) => `value ${index}`));
    expect(host.waiting).toBe(0);
  });

  it('hands memory over to the thread and back, without a copy', async () => {
    const { host } = start(kind);
    await host.started();
    const memory = new Uint8Array([1, 2, 3, 4]).buffer;
    const answers = [host.call('same', [memory, 3], { transfer: [memory] }), host.call('echo', ['beside'])] as const;
    const [bytes, beside] = await Promise.all(answers);
    expect([memory.detached, [...bytes], bytes.buffer.byteLength, beside]).toEqual([true, [1, 2, 3], 4, 'beside']);
  });

  it('brings a CodedError across with all it says', async () => {
    const { host, onFailure } = start(kind);
    await host.started();
    const refused: unknown = await host.call('refuse', []).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(CodedError);
    expect(refused).toMatchObject({
      code: 'outbox_full',
      status: 503,
      message: expect.stringContaining('1 messages and 2 bytes'),
      hint: expect.stringContaining('Send again later'),
      parameters: { added: 3 },
    });
    await expect(host.call('violate', [])).rejects.toMatchObject({ code: 'log_violation', close: 4510 });
    await expect(host.call('stumble', [])).rejects.toMatchObject({
      code: 'store_defect',
      message: expect.stringContaining('a defect'),
    });
    expect(await host.call('echo', ['still there'])).toBe('still there');
    expect(onFailure).not.toHaveBeenCalled();
  });

  it('ends for good when the disk fails, and says so once', async () => {
    const { host, onFailure } = start(kind);
    await host.started();
    await expect(host.call('breakDisk', [])).rejects.toMatchObject({
      code: 'store_failed',
      hint: expect.stringContaining('Check the disk'),
    });
    await expect(host.call('echo', ['x'])).rejects.toMatchObject({ code: 'store_failed' });
    expect(onFailure).toHaveBeenCalledTimes(1);
  });

  it('rejects everything when the thread dies', async () => {
    const { host, onFailure } = start(kind);
    await host.started();
    await expect(Promise.all([host.call('die', []), host.call('echo', ['x'])])).rejects.toMatchObject({
      code: 'store_failed',
    });
    await expect(host.call('echo', ['x'])).rejects.toMatchObject({ code: 'store_failed' });
    expect(onFailure).toHaveBeenCalledTimes(1);
  });

  it('answers what it accepted before it stops, and nothing after', async () => {
    const { host, onFailure } = start(kind);
    await host.started();
    const accepted = host.call('echo', ['x'], { lazy: true });
    const stopped = host.stop();
    await expect(host.call('echo', ['y'])).rejects.toMatchObject({ code: 'store_stopped' });
    expect(await accepted).toBe('x');
    await stopped;
    await host.stop();
    expect(onFailure).not.toHaveBeenCalled();
  });
});

describe('WorkerHost', () => {
  it('tells only its starter why the thread could not start', async () => {
    const { host, onFailure } = start('refuse');
    await expect(host.started()).rejects.toMatchObject({ code: 'data_newer' });
    await host.stop();
    expect(onFailure).not.toHaveBeenCalled();
  });
});
