/** Leave in the prebuilt folder only what JupyterLab loads, nothing that differs from build to build, and say
 *  which sources it was built from, so that a test without Node can tell a stale build. */
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const here = new URL('../', import.meta.url);
const out = new URL('../workbench/labextension/', here);

rmSync(new URL('build_log.json', out), { force: true }); // paths of the machine that built it
cpSync(new URL('install.json', here), new URL('install.json', out));

// npm wants the versions that `overrides` pins to be exact; JupyterLab loads the panel only where they are ranges
// that its own versions satisfy.
const at = new URL('package.json', out);
const built = JSON.parse(readFileSync(at, 'utf8'));
for (const [name, version] of Object.entries(built.dependencies)) {
  built.dependencies[name] = version.replace(/^\d/, '^$&');
}
delete built.overrides;
writeFileSync(at, JSON.stringify(built, null, 2) + '\n');

rmSync(new URL('schemas/@mlops/workbench-lab/package.json.orig', out), { force: true });

const files = ['src', 'style', 'schema']
  .flatMap(folder => readdirSync(new URL(folder, here), { recursive: true }).map(name => `${folder}/${name}`))
  .filter(path => /\.(ts|tsx|css|json)$/.test(path));
const hash = createHash('sha256');
for (const path of [...files, 'package.json', 'package-lock.json'].sort()) {
  hash.update(readFileSync(new URL(path, here)));
}
writeFileSync(new URL('sources.sha256', out), hash.digest('hex') + '\n');
