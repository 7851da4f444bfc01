// Storage: what this browser remembers for us. Where storage is switched off, full or spoilt, the page remembers until it closes.

/** What could not be stored. @type {Map<string, string>} */
const unstored = new Map();

/** @param {"local"|"session"} kind @returns {Storage} may throw: browsers refuse even the name where storage is switched off */
const store = (kind) => (kind === "local" ? localStorage : sessionStorage);

/** @param {"local"|"session"} kind for good, or for this tab @param {string} key @returns {string|null} */
export function recall(kind, key) {
  if (unstored.has(key)) return unstored.get(key) ?? null;
  try {
    return store(kind).getItem(key);
  } catch {
    return null;
  }
}

/** @param {"local"|"session"} kind @param {string} key @param {string} value */
export function keep(kind, key, value) {
  try {
    store(kind).setItem(key, value);
    unstored.delete(key);
  } catch {
    unstored.set(key, value);
  }
}

/** A list of words; empty where what is stored is none. @param {string} key @returns {string[]} */
export function recallList(key) {
  try {
    const found = JSON.parse(recall("local", key) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}

/** @param {string} key @param {string[]} list */
export const keepList = (key, list) => keep("local", key, JSON.stringify(list));
