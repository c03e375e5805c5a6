import type { FrameSource } from './source.ts';

/** A source that several hold, all at the same image: it is closed when the last of them closes it. */
export interface SharedSource extends FrameSource {
  share(): SharedSource;
}

/** Makes a source one that can be shared; from now on it is closed by its holders alone. */
export function sharedSource(source: FrameSource): SharedSource {
  let holders = 0;
  const hold = (): SharedSource => {
    holders += 1;
    let isOpen = true;
    return {
      name: source.name,
      next: () => source.next(),
      position: () => source.position(),
      seek: (position) => source.seek(position),
      share: hold,
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        holders -= 1;
        if (holders === 0) await source.close();
      },
    };
  };
  return hold();
}
