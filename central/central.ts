// Central's composition root: makes every service once, in the order in which they need each other, and ends them in the
// opposite order. Nothing else constructs services. What a person sees at the start is main.ts's.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { textOf, type CodedError } from '../shared/errors.ts';
import { DEFINITIONS, type ParameterValues } from './parameters/definitions.ts';
import { ParameterService } from './parameters/service.ts';
import { Admission } from './agents/admission.ts';
import { Handshake } from './agents/handshake.ts';
import { Incidents } from './agents/incidents.ts';
import type { SessionFacts } from './agents/session.ts';
import { Sessions } from './agents/sessions.ts';
import { CENTRAL } from './audit.ts';
import { AddressSet, isLoopback, transportRefusal } from './auth/address-rules.ts';
import { createEnrolmentTokens, DEFAULT_ENROLMENT_MINUTES } from './auth/enrolment-tokens.ts';
import { createOperators } from './auth/operators.ts';
import { CENTRAL_AGENT_NAME, CentralAgent } from './central-agent.ts';
import type { CentralConfig } from './config.ts';
import { createListenerApps } from './listeners/listener-apps.ts';
import { Listeners, type ListenerName } from './listeners/reconcile.ts';
import { createMetrics } from './metrics.ts';
import { openAuthority } from './pki/authority.ts';
import { createEnrolment, enrolmentLine } from './pki/enrolment.ts';
import { openServerIdentity, type ServerCredentials, type ServerWishes } from './pki/server-identity.ts';
import { openSigningKey } from './pki/signing-key.ts';
import { openSqliteStore } from './store/sqlite/sqlite-store.ts';
