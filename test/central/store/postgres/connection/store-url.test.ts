import { describe, expect, it } from 'vitest';
import { hostsOf } from '../../../../../central/store/postgres/connection/store-url.ts';

const found = (url: string): string => {
  try {
    hostsOf(url);
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : '';
  }
};

describe('store.url', () => {
  it('names one host or several, each with the account and the database', () => {
    const url = 'postgres://central:p%40ss@one:5432,two:5433/queuegate?sslmode=verify-full';
    expect(hostsOf(url)).toEqual([
      { name: 'one:5432', config: { connectionString: url.replace(',two:5433', '') } },
      { name: 'two:5433', config: { connectionString: url.replace('one:5432,', '') } },
    ]);
  });

  it('encrypts and verifies the connection to another host unless it says otherwise', () => {
    const sslOf = (url: string) => hostsOf(url).map(({ config }) => config.ssl);
    expect(sslOf('postgres://db.bank.example/queuegate')).toEqual([true]);
    expect(sslOf('postgres://10.0.0.7,127.0.0.1,localhost,[::1]:5432/queuegate')).toEqual([
      true,
      undefined,
      undefined,
      undefined,
    ]);
    expect(sslOf('postgres://central@/queuegate?host=/run/postgresql')).toEqual([undefined]);
    expect(sslOf('postgres://db.bank.example/queuegate?sslmode=disable')).toEqual([undefined]);
  });

  it.each([
    ['mysql://one/queuegate', 'does not begin with postgres://'],
    ['postgres://one:5432', 'names no database'],
    ['postgres://one/?sslmode=require', 'names no database'],
    ['postgres://one/queuegate?sslmode=no-verify', 'sslmode is no-verify'],
    ['postgres://one/queuegate?sslmode=prefer', 'sslmode is prefer'],
    ['postgres://one/queuegate?uselibpqcompat=true', 'it sets uselibpqcompat'],
    ['postgres://secret@user:x@one:notaport/queuegate', 'cannot be read'],
  ])('%s is refused', (url, what) => {
    expect(found(url)).toContain(what);
    expect(found(url)).not.toContain('secret');
  });
});
