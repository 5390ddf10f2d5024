// Cells of the list of agents.
import type { JSX } from 'preact';
import { centralNow } from '../client/api.ts';
import type { Agent } from '../client/types.ts';
import { visible } from '../format.ts';
import { ForeignLine, Mark, None } from '../parts/text.tsx';
import { T } from '../strings.ts';
import { profileRelease } from './agent-list.ts';

const DAY_MS = 86_400_000;

/** Over what its session is. */
export function Transport({ transport }: { readonly transport: 'ws' | 'wss' }): JSX.Element {
  if (transport === 'wss') return <>wss</>;
  return (
    <Mark meaning="warn" icon="warn">
      ws<span class="sr">, {T.ws}</span>
    </Mark>
  );
}

/** The release of its profile. */
export function Release({ agent }: { readonly agent: Agent }): JSX.Element {
  const release = profileRelease(agent);
  if (release === '') return <None />;
  return (
    <code class="cut" title={visible(release)}>
      <ForeignLine text={release} />
    </code>
  );
}

/** When its certificate ends. */
export function Ends({ agent: { certificate, state } }: { readonly agent: Agent }): JSX.Element {
  if (certificate === null || state === 'revoked') return <None />;
  const days = Math.floor((Date.parse(certificate.notAfter) - centralNow()) / DAY_MS);
  if (days < 0)
    return (
      <Mark meaning="bad" icon="bad">
        {T.expired}
      </Mark>
    );
  if (days > 14) return <>{T.days(days)}</>;
  return (
    <Mark meaning="warn" icon="warn">
      {T.days(days)}
    </Mark>
  );
}
