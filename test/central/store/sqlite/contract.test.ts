// The contract of the store, on the store of one machine.
import { temporaryFolder } from '../../../temporary-folder.ts';
import { storeContract } from '../contract.ts';
import { engineAt } from './engine.ts';

storeContract('SQLite', () => engineAt(temporaryFolder()));
