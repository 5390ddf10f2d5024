// A relay for TCP connections with a short queue, 310 ms away in each direction: slow-relay.ts HOST PORT TO.
import { connect, createServer, type Socket } from 'node:net';

const [host = '', port = '', to = ''] = process.argv.slice(2);
const DELAY_MS = 310;

function carry(from: Socket, into: Socket): void {
  from.on('data', (bytes) => setTimeout(() => into.destroyed || into.write(bytes), DELAY_MS));
  from.on('error', () => undefined);
  from.once('close', () => setTimeout(() => into.destroy(), DELAY_MS));
}

const server = createServer((client) => {
  const central = connect({ host: '127.0.0.1', port: Number(to) });
  carry(client, central);
  carry(central, client);
});
server.listen({ host, port: Number(port), backlog: 1 }, () => console.log('listening'));
process.once('SIGTERM', () => process.exit(0));
