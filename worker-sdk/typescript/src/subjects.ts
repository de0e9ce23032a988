/** The subjects of one system (protocol, "Subjects"). */
export class Subjects {
  readonly hello: string;
  readonly poll: string;
  readonly beat: string;
  readonly #base: string;

  constructor(prefix: string, namespace: string, system: string) {
    this.#base = `${prefix}.v1.${namespace}.${system}`;
    this.hello = `${this.#base}.hello`;
    this.poll = `${this.#base}.poll`;
    this.beat = `${this.#base}.beat`;
  }

  reply(shard: number): string {
    return `${this.#base}.reply.${shard}`;
  }

  to(session: string): string {
    return `${this.#base}.to.${session}`;
  }
}
