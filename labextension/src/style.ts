/** The style sheet, as a module: it comes with what it is for, so JupyterLab does not start later for it. */
import '../style/index.css';
