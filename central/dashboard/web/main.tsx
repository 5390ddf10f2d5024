// The browser's part of the dashboard: starts with the theme, the address and the session, then shows the page.
import { render } from 'preact';
import { resume } from './client/session.ts';
import { AGENTS } from './pages/agents.tsx';
import { AUDIT } from './pages/audit/audit.tsx';
import { CERTIFICATES } from './pages/certificates/certificates.tsx';
import { NODES } from './pages/nodes/nodes.tsx';
import { OVERVIEW } from './pages/overview/overview.tsx';
import { PARAMETERS } from './pages/parameters/parameters.tsx';
import { PROFILES } from './pages/profiles/profiles.tsx';
import { ROLLOUTS } from './pages/rollouts/rollouts.tsx';
import { TASKS } from './pages/tasks/tasks.tsx';
import { TOKENS } from './pages/tokens/tokens.tsx';
import { startRouter } from './router.ts';
import { App } from './shell/app.tsx';
import { PAGES } from './shell/pages.ts';
import { startShortcuts } from './shell/shortcuts.tsx';
import { startTheme } from './shell/theme.ts';

// In the order of the side bar.
PAGES.push(OVERVIEW, AGENTS, PARAMETERS, CERTIFICATES, ROLLOUTS, PROFILES, TASKS, AUDIT, TOKENS, NODES);

startTheme();
startRouter();
startShortcuts();
const root = document.getElementById('app');
if (root !== null) {
  render(<App />, root);
  void resume();
}
