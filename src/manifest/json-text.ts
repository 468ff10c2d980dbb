/**
 * A value as its JSON, until somebody needs it. Ten thousand templates as objects take several times the memory of their text, and
 * most of the time of whoever reads them at a start; what is decided about a resource at rest needs none of them.
 */
export type JsonText<T> = string & { readonly of?: T };

export const toJsonText = <T>(value: T): JsonText<T> => JSON.stringify(value);

/** A new object at every call. */
export const fromJsonText = <T>(text: JsonText<T>): T => JSON.parse(text);
