// The shapes: one for each state and act, drawn on 16 by 16. Those that begin with "f:" are filled.
import type { JSX } from 'preact';

const CIRCLE = 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z';

const ICONS = {
  online: [CIRCLE, 'f:M8 4.75a3.25 3.25 0 1 0 0 6.5 3.25 3.25 0 0 0 0-6.5z'],
  degraded: [CIRCLE, 'f:M8 2.5a5.5 5.5 0 0 1 0 11z'],
  connecting: ['M13.5 8A5.5 5.5 0 1 1 8 2.5', 'M8 8h.01'],
  clock: [CIRCLE, 'M8 5v3.2l2 1.3'],
  draining: [CIRCLE, 'M8 5v5.5M5.8 8.4 8 10.6l2.2-2.2'],
  throttled: [CIRCLE, 'M6.6 5.8v4.4M9.4 5.8v4.4'],
  disconnected: [CIRCLE],
  dropped: [CIRCLE, 'M4.2 11.8l7.6-7.6'],
  lock: ['M4 7.5h8v6H4z', 'M5.5 7.5V5.3a2.5 2.5 0 0 1 5 0v2.2'],
  misconfigured: ['M8 2.2 14.2 13H1.8z', 'M8 6.3v3M8 11.2h.01'],
  quarantined: ['M5.6 2h4.8L14 5.6v4.8L10.4 14H5.6L2 10.4V5.6z', 'M8 5v3.6M8 10.9h.01'],
  disabled: [CIRCLE, 'M5.4 8h5.2'],
  revoked: [CIRCLE, 'M6 6l4 4M10 6l-4 4'],
  good: [CIRCLE, 'M5.5 8.2 7.2 10l3.4-3.8'],
  warn: ['M8 2.2 14.2 13H1.8z', 'M8 6.3v3M8 11.2h.01'],
  bad: ['M5.6 2h4.8L14 5.6v4.8L10.4 14H5.6L2 10.4V5.6z', 'M8 5v3.6M8 10.9h.01'],
  info: [CIRCLE, 'M8 7.4v3.4M8 5.2h.01'],
  home: ['M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 9h4.5v4.5H2.5zM9 9h4.5v4.5H9z'],
  agents: ['M2 3h12v8H2z', 'M5.5 13.5h5M8 11v2.5'],
  sliders: ['M2.5 4.5h6M11.5 4.5h2M2.5 11.5h2M7.5 11.5h6', 'M10 3v3M6 10v3'],
  cert: ['M8 1.8 13 4v4c0 3.2-2.1 5.2-5 6.2C5.1 13.2 3 11.2 3 8V4z', 'M5.8 8l1.6 1.600L10.4 6.4'],
  rollout: ['M8 2l6 3-6 3-6-3z', 'M2 8l6 3 6-3M2 11l6 3 6-3'],
  task: ['M2.5 3h11v10h-11z', 'M5 6.5 7 8.2 5 10M8.5 10h2.5'],
  audit: ['M3.5 2h6l3 3v9h-9z', 'M6 7.500h4M6 10.500h4'],
  search: ['M7 2.500a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3 13.5 13.5'],
  key: ['M10.5 2.500a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8.3 7.7 3 13M4.5 11.500l1.5 1.5'],
  x: ['M4 4l8 8M12 4l-8 8'],
  copy: ['M5.5 5.500h8v8h-8z', 'M3 10.500H2.500v-8h8V3'],
  right: ['M6 3.5 10.5 8 6 12.5'],
  down: ['M4 6l4 4 4-4'],
  up: ['M4 10l4-4 4 4'],
  more: ['M3.5 8h.01M8 8h.01M12.5 8h.01'],
  undo: ['M5.5 3 2.5 6l3 3', 'M2.5 6h6.500a4 4 0 0 1 0 8H6'],
  moon: ['M13.2 9.600A5.6 5.6 0 1 1 6.4 2.800a4.6 4.6 0 0 0 6.8 6.800z'],
  arrow: ['M3 8h10M9 4l4 4-4 4'],
  dot: ['f:M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z'],
  todo: ['M8 2.500a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z'],
  plus: ['M8 3v10M3 8h10'],
  menu: ['M2.5 4.500h11M2.5 8h11M2.5 11.500h11'],
  out: ['M6.5 2.5h-4v11h4', 'M6 8h7.5M10.5 5l3 3-3 3'],
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name, className = '' }: { readonly name: IconName; readonly className?: string }): JSX.Element {
  return (
    <svg class={`i ${className}`} viewBox="0 0 16 16" aria-hidden="true">
      {ICONS[name].map((path) =>
        path.startsWith('f:') ? (
          <path key={path} d={path.slice(2)} fill="currentColor" stroke="none" />
        ) : (
          <path key={path} d={path} />
        ),
      )}
    </svg>
  );
}
