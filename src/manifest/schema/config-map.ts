import { choice, fields, flag, map, type Schema, text } from './build.ts';
import { DATA_KEY, objectName, standalone } from './common.ts';

export const configMap = standalone(
  'ConfigMap',
  fields(
    'Configuration that templates name, exactly as Kubernetes has it. A change of its data rolls what names it.',
    {
      apiVersion: choice('The version of the format.', ['v1']),
      kind: choice('What the document declares.', ['ConfigMap']),
      metadata: {
        description: 'What it is called; whatever else Kubernetes keeps here is left alone.',
        type: 'object',
        properties: { name: objectName('Its name, unique in the repository whatever its namespace.') },
        required: ['name'],
        additionalProperties: true,
      } satisfies Schema,
      data: map('Text by key.', text('The text; put numbers in quotes.', { maxLength: 2 ** 20 }), {
        propertyNames: DATA_KEY,
        default: {},
      }),
      binaryData: map(
        'Base64 by key.',
        text('The content in base64.', {
          maxLength: 2 ** 20,
          pattern: '^[A-Za-z0-9+/\\s]*(=\\s*){0,2}$',
          patternErrorMessage: 'base64',
        }),
        { propertyNames: DATA_KEY, default: {} },
      ),
      immutable: flag('Kubernetes refuses changes; here a commit may change it all the same.', false),
    },
    { required: ['apiVersion', 'kind', 'metadata'] },
  ),
  [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'shop' }, data: { greeting: 'hello' } }],
);
