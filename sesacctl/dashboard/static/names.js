// Short names: an instance by its number, a host by a letter where there are several, a UUID by its first eight.

const UUID = /\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi;
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
export const COLOURS = 9;

/** The name with every UUID in it cut. */
export function shortName(name) {
  return name.replace(UUID, "$1");
}

/** `{label, colour, letter}` of every member, by its name; `letter` is that of its host, empty where there is one. */
export function instanceNames(instances) {
  const hosts = [...new Set(instances.map((each) => each.host))];
  const names = new Map();
  instances.forEach((each, index) => {
    const letter = hosts.length > 1 ? LETTERS[hosts.indexOf(each.host) % LETTERS.length] : "";
    const number = /-(\d+)$/.exec(each.member)?.[1];
    names.set(each.member, { label: number === undefined ? shortName(each.member) : letter + number, colour: index % COLOURS, letter });
  });
  return names;
}
