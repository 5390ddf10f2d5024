// The operations on exposed services.
import { CALLER_ROLES } from '../../../store/services/exposure-store.ts';
import {
  array,
  count,
  json,
  listOf,
  named,
  NO_CONTENT,
  object,
  orNull,
  shortId,
  text,
  textOrNull,
  time,
  words,
  type Operations,
} from '../schema.ts';

const EXPOSURE = named(
  'ServiceExposure',
  object({
    id: shortId,
    agent: object({ id: text, name: textOrNull }, 'the name is null once the agent is deleted'),
    service: { ...text, description: 'the name of the service in the profile of the agent' },
    listenPort: count,
    allow: array(
      object({
        address: { ...textOrNull, description: 'CIDR block or address; null: a rule for certificates' },
        certificate: { ...textOrNull, description: 'a host name in the client certificate; *: any' },
        role: words(CALLER_ROLES),
      }),
    ),
    clientCa: { ...textOrNull, description: 'PEM; null: no client certificate is requested' },
    state: words(['listening', 'closed']),
    stateReason: orNull(object({ code: text, detail: text, hint: text })),
    createdAt: time,
    createdBy: text,
  }),
);
const OF_EXPOSURE = ['service_exposure_unknown'] as const;

export const SERVICE_OPERATIONS: Operations = {
  'GET /service-exposures': {
    id: 'listServiceExposures',
    summary: 'The services of agents that are exposed on ports of Central.',
    answers: { 200: json('A page.', listOf(EXPOSURE)) },
  },
  'POST /service-exposures': {
    id: 'createServiceExposure',
    summary: 'Exposes a service of an agent on a port of Central of its own.',
    answers: { 201: json('The exposure.', EXPOSURE) },
    errors: [
      'agent_ambiguous',
      'agent_unknown',
      'port_refused',
      'port_taken',
      'service_exposure_invalid',
      'service_exposure_port_taken',
      'service_exposures_full',
    ],
    example: {
      body: {
        agent: 'branch-0042',
        service: 'jobscheduler',
        listenPort: 24_445,
        allow: [{ address: '10.1.0.0/16', role: 'viewer' }],
      },
    },
  },
  'GET /service-exposures/{exposure}': {
    id: 'getServiceExposure',
    summary: 'One exposed service.',
    answers: { 200: json('The exposure.', EXPOSURE) },
    errors: OF_EXPOSURE,
  },
  'PATCH /service-exposures/{exposure}': {
    id: 'changeServiceExposure',
    summary: 'Changes who may call an exposed service; its open connections end.',
    answers: { 200: json('The exposure.', EXPOSURE) },
    errors: [...OF_EXPOSURE, 'service_exposure_invalid', 'version_conflict'],
    example: { body: { allow: [{ address: '10.1.2.3', role: 'operator' }] } },
  },
  'DELETE /service-exposures/{exposure}': {
    id: 'deleteServiceExposure',
    summary: 'Closes the port of an exposed service.',
    answers: NO_CONTENT,
    errors: OF_EXPOSURE,
  },
  'GET /agents/{agent}/services': {
    id: 'listAgentServices',
    summary: 'The services of an agent, as it reported them last.',
    answers: {
      200: json(
        'A page.',
        listOf(
          object({
            name: text,
            methods: array(text),
            paths: { ...orNull(array(text)), description: 'null: more than the agent can report' },
            upgrade: {
              ...orNull(words(CALLER_ROLES)),
              description: 'the role that a caller needs for a WebSocket; null: the agent is older',
            },
            reportedAt: time,
          }),
        ),
      ),
    },
  },
};
