// Dark or light, and the density of rows: as the system says, or as they were set in this browser.

const THEME = 'queuegate.theme';
const DENSITY = 'queuegate.density';
const KEYS = 'queuegate.shortcuts';

export const DENSITIES = ['compact', 'normal', 'comfortable'] as const;
export type Density = (typeof DENSITIES)[number];

function kept(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    // A browser may refuse it.
    return null;
  }
}

function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds until the page is closed.
  }
}

const dark = matchMedia('(prefers-color-scheme: dark)');

function apply(): void {
  const { dataset } = document.documentElement;
  dataset['theme'] = kept(THEME) ?? (dark.matches ? 'dark' : 'light');
  dataset['density'] = kept(DENSITY) ?? 'normal';
}

/** Before the first rendering. */
export function startTheme(): void {
  apply();
  dark.addEventListener('change', apply);
}

export function switchTheme(): void {
  const { dataset } = document.documentElement;
  const theme = dataset['theme'] === 'dark' ? 'light' : 'dark';
  keep(THEME, theme);
  dataset['theme'] = theme;
}

export function setDensity(density: Density): void {
  keep(DENSITY, density);
  document.documentElement.dataset['density'] = density;
}

export function areShortcutsOn(): boolean {
  return kept(KEYS) !== 'off';
}

export function setShortcuts(isOn: boolean): void {
  keep(KEYS, isOn ? 'on' : 'off');
}
