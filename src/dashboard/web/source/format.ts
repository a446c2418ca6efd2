/** Numbers and times as people read them. */

/** A minus sign that is as wide as a digit, thin spaces between thousands, and so many digits as mean something. */
export function number(value: number, digits?: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  const places = digits ?? (size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : Math.min(6, 1 - Math.floor(Math.log10(size))));
  const text = size.toFixed(places).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, "\u202f");
  return value < 0 && Number(size.toFixed(places)) !== 0 ? `−${text}` : text;
}

export function score(value: number): string {
  return value >= 0.9995 && value < 1 ? "0.999" : value.toFixed(3);
}

/** "1 in 250". */
export function odds(probability: number): string {
  if (probability <= 0) return "none seen";
  return probability > 0.5 ? "usual" : `1 in ${number(Math.round(1 / probability), 0)}`;
}

/** The same, said of readings. */
export function oddsWords(probability: number): string {
  return probability > 0.5 ? "usual" : `${odds(probability)} normal readings`;
}

export function ago(at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1_000));
  return seconds < 5 ? "just now" : `${span(seconds)} ago`;
}

/** One or two units. */
export function span(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 && hours < 10 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const fullFormat = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
  timeZoneName: "short",
});

/** In this browser's zone; with the day where it is another one. */
export function clock(at: number, now: number): string {
  const text = clockFormat.format(at);
  return new Date(at).toDateString() === new Date(now).toDateString() ? text : `${dayFormat.format(at)}, ${text}`;
}

export function full(at: number): string {
  return fullFormat.format(at);
}
