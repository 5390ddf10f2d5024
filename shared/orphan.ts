// Notices that npm has ended. On SIGTERM npm ends the shell between it and this process, and the shell does not pass
// the signal on (tried with npm 11): a server started by `npm start` would continue as an orphan and hold its ports.

/** How soon an orphan ends. */
const LOOK_MS = 500;

/** Calls `onOrphan` once when this process was started by npm and its parent has ended. */
export function watchForOrphaning(
  environment: Readonly<Record<string, string | undefined>>,
  onOrphan: () => void,
): void {
  if (environment['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    onOrphan();
  }, LOOK_MS);
  timer.unref();
}
