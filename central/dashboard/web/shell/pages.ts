// The pages: their addresses, their names in the side bar, and what shows them. A page that is not here does not exist.
import type { ComponentType } from 'preact';
import type { IconName } from '../parts/icon.tsx';

export interface PageEntry {
  /** The first part of its address. */
  readonly id: string;
  readonly title: string;
  /** Where there is little room. */
  readonly shortTitle: string;
  readonly icon: IconName;
  /** Behind "g". */
  readonly key: string;
  /** What shows it; the rest of the address is its own. */
  readonly page: ComponentType;
  /** Another page, whose entry in the side bar is shown as the present one: this page is a part of it. */
  readonly within?: string;
  /** Those who do not see it in the side bar: false hides it. */
  isOffered?(): boolean;
}

export const PAGES: PageEntry[] = [];

export function pageOf(parts: readonly string[]): PageEntry | undefined {
  const [id = PAGES[0]?.id] = parts;
  return PAGES.find((page) => page.id === id);
}
