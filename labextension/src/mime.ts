/**
 * Draws the views of saved and running notebooks (`application/vnd.mlops.view+json`).
 *
 * A notebook carries data only: the module that draws it comes from the installed package, through the server's
 * login. Parts that are HTML go to JupyterLab's own renderer, which cleans what is not trusted.
 */
import { IRenderMime, IRenderMimeRegistry, MimeModel } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';

import { IModule } from './modules';
import { DataModel, IPart, partsOf } from './parts';

export const MIME = 'application/vnd.mlops.view+json';

const NAME = /^[a-z][a-z0-9_]{0,40}$/;

export class ViewRenderer extends Widget implements IRenderMime.IRenderer {
  constructor(
    private _load: (view: string) => Promise<IModule>,
    private _registry: IRenderMimeRegistry
  ) {
    super();
    this.addClass('mlops-View');
    void import('./style');
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const parts = partsOf(model.data[MIME]);
    if (this._models.length === parts.length && parts.length === 1 && 'view' in parts[0]) {
      this._models[0].update(parts[0].data);
      return;
    }
    try {
      await this._draw(parts, model.trusted);
    } catch (error) {
      const html = model.data['text/html'];
      if (typeof html !== 'string') {
        throw error;
      }
      console.warn('a view was not drawn; its static picture is shown', error);
      await this._draw([{ html }], model.trusted);
    }
  }

  dispose(): void {
    this._clear();
    super.dispose();
  }

  private async _draw(parts: IPart[], trusted: boolean): Promise<void> {
    this._clear();
    for (const part of parts) {
      const element = document.createElement('div');
      this.node.append(element);
      if ('html' in part) {
        await this._html(part.html, trusted, element);
      } else {
        await this._view(part, element);
      }
    }
  }

  private async _html(html: string, trusted: boolean, element: HTMLElement): Promise<void> {
    const renderer = this._registry.createRenderer('text/html');
    await renderer.renderModel(new MimeModel({ data: { 'text/html': html }, trusted }));
    element.append(renderer.node);
  }

  private async _view(part: { view: string; data: unknown }, element: HTMLElement): Promise<void> {
    if (!NAME.test(part.view)) {
      throw new Error(`no view is called ${part.view}`);
    }
    const model = new DataModel(part.data);
    this._models.push(model);
    const module = await this._load(part.view);
    const end = await module.default.render({ model, el: element });
    if (end) {
      this._ends.push(end);
    }
  }

  private _clear(): void {
    this._ends.splice(0).forEach(end => end());
    this._models = [];
    this.node.replaceChildren();
  }

  private _ends: (() => void)[] = [];
  private _models: DataModel[] = [];
}

/** Teach a registry the views. */
export function addViews(registry: IRenderMimeRegistry, load: (view: string) => Promise<IModule>): void {
  registry.addFactory(
    { safe: true, mimeTypes: [MIME], defaultRank: 30, createRenderer: () => new ViewRenderer(load, registry) },
    30
  );
}
