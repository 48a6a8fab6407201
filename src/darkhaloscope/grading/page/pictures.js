// Pictures of objects, fetched ahead of their time; one sheet an object holds all of its views.

import { ask, pause, Refused } from "./outbox.js";

const AHEAD = 6;
const BEHIND = 3;

export class Pictures {
  constructor(token) {
    Object.assign(this, { token, sheets: new Map(), wanted: [] });
  }

  // Fetch those around a place in the list, forget the others.
  around(items, place) {
    const order = [place];
    for (let i = 1; i <= AHEAD; i++) order.push(place + i, ...(i <= BEHIND ? [place - i] : []));
    this.wanted = order.filter((i) => items[i]).map((i) => items[i].item);
    for (const item of this.sheets.keys()) {
      if (!this.wanted.includes(item)) this.sheets.delete(item);
    }
    for (const item of this.wanted) this.of(item);
  }

  // Promise of an object's sheet, asked for until it comes or is no longer wanted.
  of(item) {
    if (!this.sheets.has(item)) this.sheets.set(item, this.fetched(item));
    return this.sheets.get(item);
  }

  async fetched(item) {
    while (this.wanted.includes(item)) {
      try {
        const answer = await ask(this.token, `/api/picture/${item}`);
        return { sheet: await createImageBitmap(await answer.blob()) };
      } catch (error) {
        if (error instanceof Refused) return { error: error.message };
        await pause(700);
      }
    }
    return { error: "not wanted" };
  }
}

// Draw one view of a sheet, or its middle `1 / zoom`, so that it fills a canvas.
export function draw(canvas, sheet, view, size, zoom, smooth) {
  const side = Math.round(canvas.clientWidth * devicePixelRatio);
  if (canvas.width !== side) canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = smooth;
  pen.imageSmoothingQuality = "high";
  const part = size / zoom;
  const from = (size - part) / 2;
  pen.drawImage(sheet, view * size + from, from, part, part, 0, 0, side, side);
}
