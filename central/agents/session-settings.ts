// Owns which parameters a session is welcomed with.
import type { ParameterValues } from '../parameters/definitions.ts';
import type { SessionSettings } from './sessions.ts';

export function sessionSettings(values: ParameterValues): SessionSettings {
  return {
    heartbeatSeconds: values['agents.heartbeatSeconds'],
    slowPeerSeconds: values['agents.slowPeerSeconds'],
    limits: {
      maxFrameBytes: values['agents.maxFrameBytes'],
      maxMessageBytes: values['agents.maxMessageBytes'],
      windowItems: values['agents.windowItems'],
      windowBytes: values['agents.windowBytes'],
    },
  };
}
