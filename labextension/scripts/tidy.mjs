/** Leave in the prebuilt folder only what JupyterLab loads, nothing that differs from build to build, and say
 *  which sources it was built from, so that a test without Node can tell a stale build. */
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const here = new URL('../', import.meta.url);
const out = new URL('../workbench/labextension/', here);

rmSync(new URL('build_log.json', out), { force: true }); // paths of the machine that built it
cpSync(new URL('install.json', here), new URL('install.json', out));
const at = new URL('package.json', out);
writeFileSync(at, JSON.stringify(JSON.parse(readFileSync(at, 'utf8')), null, 2) + '\n');

const files = ['src', 'style']
  .flatMap(folder => readdirSync(new URL(folder, here)).map(name => `${folder}/${name}`))
  .filter(path => /\.(ts|tsx|css)$/.test(path));
const hash = createHash('sha256');
for (const path of [...files, 'package.json', 'package-lock.json'].sort()) {
  hash.update(readFileSync(new URL(path, here)));
}
writeFileSync(new URL('sources.sha256', out), hash.digest('hex') + '\n');
