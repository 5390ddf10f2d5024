// Streams between Central and an agent without a line: each frame is there in the next turn.
import { STREAM_LIMITS } from '../../../../shared/session/streams/frames.ts';
import type { Stream } from '../../../../shared/session/streams/stream.ts';
import { Streams } from '../../../../shared/session/streams/streams.ts';

/** `onOpen`: what the agent does with a stream that Central opens. */
export function streamsInMemory(onOpen: (stream: Stream, open: Readonly<Record<string, unknown>>) => void): {
  readonly central: Streams;
  readonly agent: Streams;
} {
  const side = (isCentral: boolean, other: () => Streams, opened: typeof onOpen): Streams =>
    new Streams({
      limits: STREAM_LIMITS,
      hasChecksums: false,
      socket: {
        bufferedAmount: 0,
        send: (frame, written) => setImmediate(() => (other().receive(frame), written?.())),
      },
      isCentral,
      onOpen: opened,
    });
  const central: Streams = side(
    true,
    () => agent,
    () => undefined,
  );
  const agent: Streams = side(false, () => central, onOpen);
  return { central, agent };
}
