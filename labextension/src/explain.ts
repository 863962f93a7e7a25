/** One sentence about a refused request: the workbench's own words where there are any. */
export function explain(status: number, body: string): string {
  try {
    const said = JSON.parse(body) as { error?: string; message?: string };
    if (said.error && said.message) {
      return said.message;
    }
  } catch {
    // not JSON: not from the workbench
  }
  if (status === 404) {
    return "The server half is not there. Type: pip install 'mlops-workbench[lab]', then restart JupyterLab.";
  }
  return `The server answered ${status}.`;
}
