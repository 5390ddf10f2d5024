// Which builds of Node.js run on this machine.

/** As the names of runtimes end: "linux-x64", "win-arm64". */
export function machineTarget(): string {
  return `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
}
