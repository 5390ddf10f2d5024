// Loaded into a server before its own program when memory is measured: collects garbage when the bench asks for it.
process.on('SIGUSR2', () => globalThis.gc?.());
