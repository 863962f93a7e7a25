/** The panel's place in the side bar: costs next to nothing until somebody looks at it. */
import { PanelLayout, Widget } from '@lumino/widgets';

export class Holder extends Widget {
  /** `fill` loads what is shown; it is asked once, when the place is first shown. */
  constructor(
    id: string,
    private _fill: () => Promise<Widget>
  ) {
    super();
    this.id = id;
    this.addClass('mlops-Panel');
    this.layout = new PanelLayout();
  }

  protected onAfterShow(): void {
    this._show();
  }

  protected onAfterAttach(): void {
    if (this.isVisible) {
      this._show();
    }
  }

  private _show(): void {
    this._filling ??= this._fill().then(
      widget => (this.layout as PanelLayout).addWidget(widget),
      error => {
        this._filling = undefined; // a server that was away is asked again when the place is shown again
        console.warn('the workbench panel did not load', error);
      }
    );
  }

  private _filling: Promise<void> | undefined;
}
