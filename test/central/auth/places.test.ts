import { describe, expect, it } from 'vitest';
import { Places, UNSHARED, type Place } from '../../../central/auth/places.ts';
import type { CodedError } from '../../../shared/errors.ts';

const LIMIT = 80;
/** An eighth of them. */
const SHARE = 10;

interface Held {
  readonly place: Place;
  givenUp: string | undefined;
}

function opened() {
  const places = new Places(() => LIMIT);
  return {
    places,
    enter(address: string): Held | string {
      const held: { place?: Place; givenUp: string | undefined } = { givenUp: undefined };
      const entered = places.enter(address, (fault: CodedError) => (held.givenUp = fault.code));
      if (!('leave' in entered)) return entered.code;
      held.place = entered;
      return held as Held;
    },
    held(address: string): Held {
      const entered = this.enter(address);
      if (typeof entered === 'string') throw new Error(entered);
      return entered;
    },
  };
}

const addresses = (count: number): string[] => Array.from({ length: count }, (_, i) => `192.0.2.${i + 1}`);

describe('places for connections that are not yet welcomed', () => {
  it('one address may take half of them, and no more than its share of the rest', () => {
    const { places, held, enter } = bound();
    const silent = Array.from({ length: LIMIT }, () => held('192.0.2.1'));
    expect(places.taken).toBe(LIMIT / 2);
    // Its own oldest silent ones gave way, so that an honest peer behind the same address comes in.
    expect(silent.filter(({ givenUp }) => givenUp === 'place_given_up')).toEqual(silent.slice(0, LIMIT / 2));
    for (const { place } of silent) place.works();
    expect(enter('192.0.2.1')).toBe('address_share_full');
    // The others have their share each.
    for (const address of addresses(5).slice(1)) for (let i = 0; i < SHARE; i += 1) held(address);
    expect(places.taken).toBe(LIMIT);
  });

  it('a newcomer from elsewhere always comes in while one address holds silent connections, the oldest of which goes', () => {
    const { places, held } = bound();
    const silent = Array.from({ length: LIMIT / 2 }, () => held('192.0.2.1'));
    for (const address of addresses(5).slice(1)) for (let i = 0; i < SHARE; i += 1) held(address);
    expect(places.taken).toBe(LIMIT);
    for (let i = 0; i < 5; i += 1) {
      held(`198.51.100.${i}`);
      expect(silent.map(({ givenUp }) => givenUp !== undefined)).toEqual(silent.map((_, n) => n <= i));
    }
    expect(places.taken).toBe(LIMIT);
  });

  it('takes the addresses of one IPv6 /64 for one, and a mapped IPv4 address for itself', () => {
    const { places, held } = bound();
    const silent = Array.from({ length: LIMIT }, (_, i) => held(`2001:db8::${i.toString(16)}`));
    expect(places.taken).toBe(LIMIT / 2);
    expect(silent.filter(({ givenUp }) => givenUp !== undefined)).toHaveLength(LIMIT / 2);
    expect(held('::ffff:192.0.2.1').givenUp).toBeUndefined();
  });

  it('one that works for its peer never gives way, and one that waits again goes behind the others', () => {
    const { held } = bound();
    const [first, second, third] = [held('192.0.2.1'), held('192.0.2.1'), held('192.0.2.1')];
    first.place.works();
    second.place.works();
    second.place.waits();
    for (let i = 3; i < LIMIT / 2; i += 1) held('192.0.2.1').place.works();
    held('192.0.2.1').place.works();
    expect([first, second, third].map(({ givenUp }) => givenUp)).toEqual([undefined, undefined, 'place_given_up']);
    held('192.0.2.1');
    expect([first, second, third].map(({ givenUp }) => givenUp)).toEqual([
      undefined,
      'place_given_up',
      'place_given_up',
    ]);
  });

  it('strangers with an address for each connection lose their oldest to those who come later', () => {
    const { held, enter } = bound();
    const many = Array.from({ length: LIMIT }, (_, i) => held(`2001:db8:0:${i.toString(16)}::1`));
    expect(typeof enter('192.0.2.1')).toBe('object');
    expect(many.filter(({ givenUp }) => givenUp !== undefined)).toHaveLength(1);
  });

  it('is full only when everybody works', () => {
    const { held, enter } = bound();
    for (let i = 0; i < LIMIT; i += 1) held(`2001:db8:0:${i.toString(16)}::1`).place.works();
    expect(enter('192.0.2.1')).toBe('places_full');
  });

  it('a named proxy has no share until it says for whom it connects, then that address counts', () => {
    const { places, held } = bound();
    const proxied = Array.from({ length: LIMIT }, () => held(UNSHARED));
    expect(places.taken).toBe(LIMIT);
    proxied.slice(0, LIMIT / 2).forEach(({ place }, i) => expect(place.move(`198.51.100.${i}`)).toBeUndefined());
    const refused = proxied.slice(LIMIT / 2).map(({ place }) => {
      const fault = place.move('192.0.2.1');
      if (fault === undefined) place.works();
      return fault?.code;
    });
    expect(refused.filter((code) => code === undefined)).toHaveLength(SHARE);
    expect(new Set(refused.slice(SHARE))).toEqual(new Set(['address_share_full']));
    // A refused one has left.
    expect(places.taken).toBe(LIMIT / 2 + SHARE);
  });

  it('what left twice is counted once, and nothing is kept of those who are gone', () => {
    const { places, held } = bound();
    const [one, other] = [held('192.0.2.1'), held('192.0.2.2')];
    one.place.leave();
    one.place.leave();
    one.place.waits();
    expect(one.place.move('192.0.2.3')).toBeUndefined();
    other.place.leave();
    expect(places.taken).toBe(0);
  });
});

function bound() {
  const all = opened();
  return { places: all.places, enter: all.enter.bind(all), held: all.held.bind(all) };
}
