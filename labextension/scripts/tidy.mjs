/** Leave in the prebuilt folder only what JupyterLab loads, and nothing that differs from build to build. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

const out = new URL('../../workbench/labextension/', import.meta.url);
rmSync(new URL('build_log.json', out), { force: true }); // paths of the machine that built it
cpSync(new URL('../install.json', import.meta.url), new URL('install.json', out));
const at = new URL('package.json', out);
writeFileSync(at, JSON.stringify(JSON.parse(readFileSync(at, 'utf8')), null, 2) + '\n');
