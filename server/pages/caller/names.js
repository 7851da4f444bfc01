// Channel names that can be said aloud: a colour, a bird and a number. One that was used stays for this tab.

import { keep, recall } from "../shared/storage.js";

const COLOURS = ["amber", "ash", "azure", "coral", "copper", "indigo", "ivory", "jade", "linen", "olive", "pearl", "ruby", "russet", "sepia", "umber"];
const BIRDS = ["avocet", "crane", "curlew", "dipper", "finch", "heron", "ibis", "kestrel", "lark", "linnet", "merlin", "plover", "swift", "tern", "wren"];
const KEPT_CHANNEL = "telequilt-channel";

/** @param {number} count @returns {number} at random, 0 to count - 1 */
const random = (count) => crypto.getRandomValues(new Uint32Array(1))[0] % count;

/** @param {string[]} words */
const oneOf = (words) => words[random(words.length)];

export function suggestedChannel() {
  return recall("session", KEPT_CHANNEL) ?? `${oneOf(COLOURS)}-${oneOf(BIRDS)}-${10 + random(90)}`;
}

/** @param {string} channel */
export const keepChannel = (channel) => keep("session", KEPT_CHANNEL, channel);
