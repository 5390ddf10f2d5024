// The command lines that an administrator copies to the machine of an agent.
import { shellWord } from '../../shared/terminal/escape.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

export function enrollmentLine({
  token,
  pin,
  ...place
}: Place & { readonly token: string; readonly pin: string }): string {
  return `queue-agent enroll https://${address(place)} --token ${token} --pin ${pin}`;
}

/** For the machine of the agent, or the one that replaces it. The code is not in it: other accounts see arguments. */
export function recoveryLine({
  name,
  encrypted,
  ...place
}: Place & { readonly name: string; readonly encrypted: boolean }): string {
  return [
    'queue-agent recover',
    `--central-host ${shellWord(address(place))}`,
    `--agent-name ${shellWord(name)}`,
    ...(encrypted ? [] : ['--central-websocket-secure=false']),
  ].join(' ');
}

function address({ host, port }: Place): string {
  return `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port}`;
}
