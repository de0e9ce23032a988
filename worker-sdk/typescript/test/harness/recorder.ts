/** Things that arrive, and bounded waits for them. */

const WAIT_MS = 8_000;

export class Recorder<T> {
  readonly all: T[] = [];
  readonly #watchers = new Set<() => void>();

  constructor(readonly what: string) {}

  push(item: T): void {
    this.all.push(item);
    for (const watcher of [...this.#watchers]) watcher();
  }

  /** The first item, from this position on, that fits; waits for it if it has not come yet. */
  async first(fits: (item: T) => boolean = () => true, from = 0): Promise<T> {
    return this.#wait(() => this.all.slice(from).find(fits), "the one asked for");
  }

  /** Waits until so many items that fit have come. */
  async atLeast(count: number, fits: (item: T) => boolean = () => true): Promise<T[]> {
    return this.#wait(() => {
      const found = this.all.filter(fits);
      return found.length >= count ? found : undefined;
    }, `${count} of them`);
  }

  async #wait<R>(look: () => R | undefined, wanted: string): Promise<R> {
    const now = look();
    if (now !== undefined) return now;
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(watcher);
      };
      const watcher = (): void => {
        const found = look();
        if (found === undefined) return;
        done();
        resolve(found);
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`waited ${WAIT_MS} ms for ${this.what}: ${wanted} did not come; there were ${this.all.length}`));
      }, WAIT_MS);
      this.#watchers.add(watcher);
    });
  }
}
