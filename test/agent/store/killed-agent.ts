// A process that a test kills: writes both logs of an agent at once, and prints what was answered.
import { items, message, openAt } from './samples.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('the folder is missing');
const bounds = { maxMessages: 1_000_000, maxBytes: 1_000_000_000 };
const { inbox, outbox } = openAt(folder, { outbox: bounds, inbox: bounds });

async function events(): Promise<void> {
  for (let number = (await outbox.depth()).messages + 1; ; number += 1) {
    await outbox.append([message(`e${number}`)]);
    process.stdout.write(`e ${number}\n`);
  }
}

async function commands(): Promise<void> {
  const position = await inbox.position();
  await inbox.begin({ incarnation: 'A', next: (position?.number ?? 0) + 1, missing: null });
  for (let first = (position?.number ?? 0) + 1; ; first += 2) {
    const through = await inbox.append(first, framesOf(first, items(`c${first}`, `c${first + 1}`)));
    process.stdout.write(`c ${through}\n`);
  }
}

await Promise.all([events(), commands()]);
