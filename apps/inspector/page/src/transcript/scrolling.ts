// Where a list of any length stands. Browsers make no element higher than some ten million pixels, so the bar of a long
// list is shorter than the list: turning the wheel moves by pixels, dragging the bar moves in proportion, and when
// nothing moves the bar is put where the list is.

/** The highest that an element is made (pixels): what the least generous browser can do, halved. */
export const TALLEST = 8_000_000;

export class Scrolling {
  readonly row: number;
  /** Entries; pixels of the window. */
  count = 0;
  view = 0;
  /** Pixels of the list above the window. */
  top = 0;
  #bar = 0;

  constructor(row: number) {
    this.row = row;
  }

  get height(): number {
    return this.count * this.row;
  }

  /** Pixels of the element that is scrolled. */
  get bar(): number {
    return Math.min(this.height, TALLEST);
  }

  /** Where the bar belongs now. */
  get barTop(): number {
    const most = this.#most;
    if (this.bar === this.height) return this.top;
    return most === 0 ? 0 : (this.top / most) * this.#barMost;
  }

  get first(): number {
    return Math.min(Math.floor(this.top / this.row), Math.max(this.count - 1, 0));
  }

  /** The last entry of which anything is seen; -1 when there is none. */
  get last(): number {
    return Math.min(Math.ceil((this.top + this.view) / this.row), this.count) - 1;
  }

  /** Whether the end is in view. */
  get atEnd(): boolean {
    return this.top >= this.#most - this.row / 2;
  }

  get #most(): number {
    return Math.max(this.height - this.view, 0);
  }

  get #barMost(): number {
    return Math.max(this.bar - this.view, 0);
  }

  /** The list has another length, or its window another height. */
  resize(count: number, view: number): void {
    this.count = count;
    this.view = view;
    this.top = Math.min(this.top, this.#most);
  }

  /** The bar was moved by someone. */
  moved(bar: number): void {
    const by = bar - this.#bar;
    this.#bar = bar;
    if (this.bar === this.height) this.top = Math.min(Math.max(bar, 0), this.#most);
    else if (Math.abs(by) > this.view) this.top = this.#barMost ? (bar / this.#barMost) * this.#most : 0;
    else if (bar <= 0) this.top = 0;
    else if (bar >= this.#barMost) this.top = this.#most;
    else this.top = Math.min(Math.max(this.top + by, 0), this.#most);
  }

  /** The bar was put where it belongs. */
  settled(bar: number): void {
    this.#bar = bar;
  }

  /** Have an entry in view, with as little movement as does it; "center" when it was not in view. */
  reveal(place: number, where: "nearest" | "center" = "nearest"): void {
    const above = place * this.row;
    const below = above + this.row;
    if (above >= this.top && below <= this.top + this.view) return;
    const to =
      where === "center" ? above - (this.view - this.row) / 2 : above < this.top ? above : below - this.view;
    this.top = Math.min(Math.max(to, 0), this.#most);
  }

  toEnd(): void {
    this.top = this.#most;
  }
}
