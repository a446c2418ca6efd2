/** Light or dark: as the system says, until somebody says otherwise. The colours of the map come from the style sheet. */
import { computed, effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";
const KEY = "odograph-theme";

const system = matchMedia("(prefers-color-scheme: dark)");
const systemTheme = signal<Theme>(system.matches ? "dark" : "light");
system.addEventListener("change", () => {
  systemTheme.value = system.matches ? "dark" : "light";
});

const chosen = signal<Theme | null>(kept());

export const theme = computed<Theme>(() => chosen.value ?? systemTheme.value);

export function toggleTheme(): void {
  const next = theme.value === "dark" ? "light" : "dark";
  chosen.value = next === systemTheme.value ? null : next;
  try {
    if (chosen.value) localStorage.setItem(KEY, chosen.value);
    else localStorage.removeItem(KEY);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

export type Colour = [number, number, number];

export const palette = signal(read());

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
  palette.value = read();
});

/** A colour of the style sheet, such as `--land`. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function read(): { kinds: Colour[]; halo: Colour; accent: Colour } {
  const names = ["--offline", "--stale", "--parked", "--ok", "--info", "--warning", "--critical"];
  return { kinds: names.map((name) => numbers(colour(name))), halo: numbers(colour("--halo")), accent: numbers(colour("--accent")) };
}

function numbers(hex: string): Colour {
  // The build writes #ffffff as #fff.
  const digits = hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit).join("") : hex.slice(1, 7);
  const value = Number.parseInt(digits, 16) || 0;
  return [((value >> 16) & 255) / 255, ((value >> 8) & 255) / 255, (value & 255) / 255];
}

function kept(): Theme | null {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null;
  }
}
