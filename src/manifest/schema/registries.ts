/** Registries of images, with what a target logs in there. */
import { fields, list, type Schema, text } from './build.ts';
import { objectName } from './common.ts';

export const registries = (description: string, more: Schema = {}): Schema =>
  list(
    description,
    fields(
      'One registry.',
      {
        registry: text('Its name, as it stands in front of images, e.g. `registry.example.org:5000`.', {
          pattern: '^[a-zA-Z0-9][a-zA-Z0-9.-]*(:[0-9]{1,5})?$',
          patternErrorMessage: 'the name of a registry, such as registry.example.org:5000',
          maxLength: 253,
        }),
        secret: objectName('A Secret with the keys `username` and `password`: a folder in `--secrets-dir`.'),
      },
      { required: ['registry', 'secret'] },
    ),
    more,
  );
