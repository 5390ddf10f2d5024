// Reads the JSON bodies of the administration's REST: bytes are validated before they are decoded, and a name that is
// given twice is refused, since two readers would take two different values for it. Messages stay the text that they
// are.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { bodyText } from '../../shared/delivery/body-text.ts';
import { pointerTo } from '../../shared/http/problem.ts';
import { JsonSyntaxError, scanValue } from '../../shared/wire/json-text.ts';
import { httpFault } from '../listeners/errors.ts';
import { requestInvalid } from './errors.ts';

/** CloudEvents JSON event format, sections 3 and 4. */
const CLOUDEVENTS_TYPES = ['application/cloudevents+json', 'application/cloudevents-batch+json'];

/** RFC 7396. Every PATCH is one, whichever of the two types it names. */
const MERGE_PATCH_TYPE = 'application/merge-patch+json';

/** Makes the routes of `scope` get the value of a JSON body. */
export function parseJsonBodies(scope: FastifyInstance): void {
  // What it does beyond JSON.parse: it refuses members that would become a prototype.
  const parse = scope.getDefaultJsonParser('error', 'error');
  scope.addContentTypeParser(
    ['application/json', MERGE_PATCH_TYPE, ...CLOUDEVENTS_TYPES],
    { parseAs: 'buffer' },
    (request, body: Buffer, done) => {
      try {
        const text = bodyText(body);
        // Without a body the content type says nothing: clients send it with every request.
        if (text === '') return done(null, undefined);
        refuseRepeatedNames(text);
        void parse(request, text, done);
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    },
  );
}

/** Makes the routes of `scope` get the text of a body with messages, and no other body. */
export function keepMessageText(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(
    ['application/json', ...CLOUDEVENTS_TYPES],
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      // The binary mode of the HTTP binding (section 3.1): the event is in the headers, which are not read.
      if (request.headers['ce-specversion'] !== undefined)
        throw httpFault('content_type_unsupported', { found: 'of a CloudEvent in binary mode' });
      return bodyText(body);
    },
  );
}

/** Scans a body. Errors: json_unparseable with the place. */
export function scannedBody<T>(scan: () => T): T {
  try {
    return scan();
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw httpFault('json_unparseable', { found: error.message }, error);
  }
}

function refuseRepeatedNames(text: string): void {
  const { fault } = scannedBody(() => scanValue(text));
  if (fault === undefined) return;
  const { pointer, found } = fault;
  const detail = `${pointer || 'The body'} ${found}.`;
  throw requestInvalid([{ pointer: pointerTo(pointer), detail, allowed: null, found: null }]);
}
