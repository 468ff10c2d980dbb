/** Kubernetes quantities: `0.5`, `500m` (cores), `128Mi`, `1G` (bytes). */

/** The source of the pattern, for schemas. */
export const QUANTITY_PATTERN = '^(0|[1-9][0-9]{0,14})(\\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$';

const FACTORS: Record<string, number> = {
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

const quantity = new RegExp(QUANTITY_PATTERN);

/** In cores or bytes, by what it measures; undefined when it is no quantity or passes 2^53. `500m` is 0.5, `1.5Ki` is 1536. */
export function parseQuantity(text: string): number | undefined {
  const [, whole, fraction = '', unit = ''] = quantity.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const number = Number(whole + fraction);
  const value = unit === 'm' ? number / 1000 : number * (FACTORS[unit] ?? 1);
  return value <= Number.MAX_SAFE_INTEGER ? value : undefined;
}
