"use strict";(self.rspackChunk_mlops_workbench_lab=self.rspackChunk_mlops_workbench_lab||[]).push([[463],{258(o,r,e){var a=e(72),t=e.n(a),p=e(825),l=e.n(p),n=e(659),i=e.n(n),s=e(56),d=e.n(s),c=e(540),m=e.n(c),u=e(113),f=e.n(u),g=e(646),x={};x.styleTagTransform=f(),x.setAttributes=d(),x.insert=i().bind(null,"head"),x.domAPI=l(),x.insertStyleElement=m(),t()(g.A,x),g.A&&g.A.locals&&g.A.locals},646(o,r,e){var a=e(601),t=e.n(a),p=e(314),l=(e.n(p))()(t());l.push([o.id,`/* Colours come from the theme: nothing here is fixed, so light, dark and high-contrast themes all work. */

.mlops-Panel {
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  container-type: inline-size;
  font-size: var(--jp-ui-font-size1);
  min-width: 240px;
  overflow: hidden;
}

.mlops-Contents {
  height: 100%;
}

.mlops-Frame {
  display: flex;
  flex-direction: column;
  height: 100%;
}

.mlops-Header {
  align-items: center;
  border-bottom: var(--jp-border-width) solid var(--jp-border-color2);
  display: flex;
  flex-wrap: wrap;
  gap: 8px;
  justify-content: space-between;
  padding: 6px 8px;
}

.mlops-Live {
  align-items: center;
  color: var(--jp-ui-font-color1);
  display: flex;
  gap: 6px;
}

.mlops-Live::before {
  background: var(--jp-warn-color1);
  border-radius: 50%;
  content: '';
  height: 8px;
  width: 8px;
}

.mlops-Live[data-live='true']::before {
  background: var(--jp-success-color1);
}

.mlops-Filter {
  border: var(--jp-border-width) solid var(--jp-border-color1);
  border-radius: 4px;
  display: flex;
  overflow: hidden;
}

.mlops-Filter button {
  background: transparent;
  border: none;
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  font: inherit;
  padding: 2px 8px;
  white-space: nowrap;
}

.mlops-Filter button[aria-pressed='true'] {
  background: var(--jp-layout-color3);
  font-weight: 600;
}

.mlops-Body {
  flex: 1;
  overflow-y: auto;
}

.mlops-Section h2 {
  background: var(--jp-layout-color2);
  font-size: inherit;
  margin: 0;
  position: sticky;
  top: 0;
  z-index: 1;
}

.mlops-Section h2 button {
  align-items: center;
  background: transparent;
  border: none;
  border-bottom: var(--jp-border-width) solid var(--jp-border-color2);
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  display: flex;
  font: inherit;
  font-weight: 600;
  gap: 4px;
  letter-spacing: 0.02em;
  padding: 5px 6px;
  width: 100%;
}

.mlops-Section h2 button:hover {
  background: var(--jp-layout-color3);
}

.mlops-Section > [role='group'] {
  padding: 8px;
}

.mlops-Count {
  background: var(--jp-layout-color3);
  border-radius: 8px;
  font-size: var(--jp-ui-font-size0);
  font-weight: 400;
  margin-left: auto;
  padding: 0 7px;
}

.mlops-Panel :focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: -1px;
}

.mlops-List,
.mlops-Tree {
  list-style: none;
  margin: 0;
  padding: 0;
}

/* Cards */

.mlops-Card {
  background: var(--jp-layout-color1);
  border: var(--jp-border-width) solid var(--jp-border-color2);
  border-left: 3px solid var(--jp-border-color1);
  border-radius: 4px;
  contain-intrinsic-size: auto 56px;
  content-visibility: auto;
  margin-bottom: 6px;
  padding: 5px 6px 4px 8px;
}

.mlops-Card[data-state='running'],
.mlops-Card[data-state='pending'] {
  border-left-color: var(--jp-brand-color1);
}

.mlops-Card[data-state='done'],
.mlops-Card[data-phase='stable'] {
  border-left-color: var(--jp-success-color1);
}

.mlops-Card[data-state='failed'],
.mlops-Card[data-phase='rolled-back'] {
  border-left-color: var(--jp-error-color1);
}

.mlops-Card[data-state='interrupted'],
.mlops-Card[data-phase='canary'],
.mlops-Card[data-phase='draining'] {
  border-left-color: var(--jp-warn-color1);
}

.mlops-Card-head,
.mlops-Card-foot,
.mlops-Row {
  align-items: center;
  display: flex;
  gap: 6px;
  min-height: 22px;
}

.mlops-Card-foot {
  justify-content: space-between;
}

.mlops-Card-title {
  background: transparent;
  border: none;
  border-radius: 2px;
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  flex: 1;
  font: inherit;
  font-weight: 600;
  min-width: 0;
  overflow: hidden;
  padding: 0;
  text-align: left;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.mlops-Card-title:hover {
  text-decoration: underline;
}

.mlops-Spacer {
  flex: 1;
}

/* The theme's own dim colour is too faint for small text on its grey; this one reads on every theme. */
.mlops-Dim {
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size0);
  opacity: 0.82;
}

.mlops-Clip {
  min-width: 0;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.mlops-Badge {
  border: 1px solid var(--jp-border-color1);
  border-radius: 9px;
  color: var(--jp-ui-font-color1);
  flex: none;
  font-size: var(--jp-ui-font-size0);
  line-height: 15px;
  padding: 0 7px;
  white-space: nowrap;
}

.mlops-Badge.mlops-mod-running,
.mlops-Badge.mlops-mod-pending {
  border-color: var(--jp-brand-color1);
}

.mlops-Badge.mlops-mod-done,
.mlops-Badge.mlops-mod-stable {
  border-color: var(--jp-success-color1);
}

.mlops-Badge.mlops-mod-failed,
.mlops-Badge.mlops-mod-rolled-back {
  border-color: var(--jp-error-color1);
}

.mlops-Badge.mlops-mod-interrupted,
.mlops-Badge.mlops-mod-canary,
.mlops-Badge.mlops-mod-draining {
  border-color: var(--jp-warn-color1);
}

.mlops-Badge.mlops-mod-cancelled {
  border-style: dashed;
}

.mlops-Progress {
  accent-color: var(--jp-brand-color1);
  display: block;
  height: 6px;
  margin: 3px 0;
  width: 100%;
}

.mlops-Details {
  border-top: var(--jp-border-width) solid var(--jp-border-color2);
  display: grid;
  gap: 6px;
  margin-top: 4px;
  padding: 6px 0 2px;
}

.mlops-Failure {
  border-left: 2px solid var(--jp-error-color1);
  overflow-wrap: anywhere;
  padding-left: 6px;
  white-space: pre-wrap;
}

.mlops-Log {
  background: var(--jp-layout-color2);
  border-radius: 3px;
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-ui-font-size0);
  margin: 0;
  max-height: 180px;
  overflow: auto;
  padding: 6px;
  white-space: pre-wrap;
}

/* Buttons and lines */

.mlops-Actions {
  display: flex;
  flex: none;
  gap: 2px;
}

.mlops-IconButton {
  align-items: center;
  background: transparent;
  border: none;
  border-radius: 3px;
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  display: inline-flex;
  flex: none;
  height: 22px;
  justify-content: center;
  padding: 0;
  width: 22px;
}

.mlops-IconButton span {
  display: flex;
}

.mlops-IconButton:hover:not(:disabled) {
  background: var(--jp-layout-color3);
}

.mlops-IconButton:disabled,
.mlops-TextButton:disabled {
  cursor: default;
  opacity: 0.5;
}

.mlops-TextButton {
  background: var(--jp-layout-color1);
  border: 1px solid var(--jp-border-color1);
  border-radius: 3px;
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  font: inherit;
  line-height: 18px;
  padding: 1px 9px;
}

.mlops-TextButton:hover:not(:disabled) {
  background: var(--jp-layout-color2);
}

.mlops-TextButton.mlops-mod-accept {
  border-color: var(--jp-success-color1);
}

.mlops-TextButton.mlops-mod-warn {
  border-color: var(--jp-error-color1);
}

.mlops-Line {
  align-items: center;
  background: var(--jp-layout-color2);
  border-radius: 3px;
  display: flex;
  flex: 1;
  gap: 2px;
  min-width: 0;
  padding: 1px 2px 1px 6px;
}

.mlops-Line code {
  background: transparent;
  color: var(--jp-ui-font-color1);
  flex: 1;
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-ui-font-size0);
  overflow: hidden;
  padding: 0;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.mlops-More {
  background: transparent;
  border: 1px dashed var(--jp-border-color1);
  border-radius: 3px;
  color: var(--jp-ui-font-color1);
  cursor: pointer;
  font: inherit;
  padding: 4px;
  width: 100%;
}

.mlops-Empty p {
  margin: 2px 0 6px;
}

.mlops-Empty .mlops-Line code {
  overflow-wrap: anywhere;
  white-space: normal;
}

.mlops-Alert {
  align-items: flex-start;
  border-bottom: 2px solid var(--jp-error-color1);
  display: flex;
  gap: 6px;
  justify-content: space-between;
  overflow-wrap: anywhere;
  padding: 6px 8px;
  white-space: pre-wrap;
}

.mlops-Footer {
  border-top: var(--jp-border-width) solid var(--jp-border-color1);
  padding: 4px 8px 6px;
}

/* Models */

.mlops-Tree .mlops-Tree {
  border-left: 1px solid var(--jp-border-color2);
  margin-left: 8px;
  padding-left: 8px;
}

.mlops-Model {
  align-items: center;
  border-radius: 3px;
  display: flex;
  flex-wrap: wrap;
  gap: 2px 6px;
  min-height: 24px;
  padding: 0 2px;
  position: relative;
}

.mlops-Model:hover {
  background: var(--jp-layout-color2);
}

.mlops-Model-head {
  align-items: center;
  display: flex;
  gap: 6px;
  min-width: 0;
}

.mlops-Model input {
  flex: none;
  accent-color: var(--jp-brand-color1);
  margin: 0;
}

.mlops-Model-name {
  background: transparent;
  border: none;
  color: var(--jp-ui-font-color1);
  cursor: grab;
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-ui-font-size0);
  min-width: 0;
  overflow: hidden;
  padding: 2px 0;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.mlops-Model[data-kind='program'] .mlops-Model-name,
.mlops-Model[data-kind='variant'] .mlops-Model-name {
  font-weight: 600;
}

.mlops-Model-figures {
  align-items: center;
  display: flex;
  flex: 1;
  font-size: var(--jp-ui-font-size0);
  font-variant-numeric: tabular-nums;
  gap: 6px;
  justify-content: flex-end;
  white-space: nowrap;
}

/* Over the figures while the row is pointed at, so that the row keeps its one line. */
.mlops-Model .mlops-Actions {
  background: var(--jp-layout-color2);
  border-radius: 3px;
  opacity: 0;
  position: absolute;
  right: 0;
  top: 1px;
}

.mlops-Model:hover .mlops-Actions,
.mlops-Model:focus-within .mlops-Actions {
  opacity: 1;
}

.mlops-Comparison {
  border-top: var(--jp-border-width) solid var(--jp-border-color2);
  display: grid;
  gap: 6px;
  margin-top: 8px;
  padding-top: 6px;
}

.mlops-Comparison table,
.mlops-Tracks {
  border-collapse: collapse;
  font-size: var(--jp-ui-font-size0);
  font-variant-numeric: tabular-nums;
  width: 100%;
}

.mlops-Comparison td,
.mlops-Comparison th,
.mlops-Tracks td,
.mlops-Tracks th {
  border-bottom: var(--jp-border-width) solid var(--jp-border-color3);
  font-weight: 400;
  padding: 2px 3px;
  text-align: right;
  white-space: nowrap;
}

.mlops-Comparison th:first-child,
.mlops-Tracks th:first-child {
  text-align: left;
}

/* A narrow side bar has no place for all columns; medians and memory are in the readings below the table. */
@container (max-width: 300px) {
  .mlops-Tracks :is(th, td):is(:nth-child(4), :nth-child(6)) {
    display: none;
  }
}

.mlops-Pareto {
  max-width: 320px;
  width: 100%;
}

.mlops-Pareto circle {
  fill: var(--jp-border-color1);
}

.mlops-Pareto circle.mlops-mod-best {
  fill: var(--jp-brand-color1);
}

.mlops-Axis {
  fill: none;
  stroke: var(--jp-border-color1);
}

.mlops-Frontier {
  fill: none;
  stroke: var(--jp-brand-color1);
  stroke-dasharray: 4 3;
}

/* Staging */

.mlops-Split {
  border-radius: 3px;
  display: flex;
  gap: 1px;
  height: 18px;
  margin: 5px 0;
  overflow: hidden;
}

.mlops-Split span {
  border-bottom: 3px solid var(--jp-success-color1);
  background: var(--jp-layout-color2);
  font-size: var(--jp-ui-font-size0);
  line-height: 15px;
  min-width: 4px;
  overflow: hidden;
  text-align: center;
  white-space: nowrap;
}

.mlops-Split span.mlops-mod-canary {
  border-bottom-color: var(--jp-warn-color1);
}

.mlops-Dot {
  background: var(--jp-success-color1);
  border-radius: 50%;
  display: inline-block;
  height: 7px;
  margin-right: 4px;
  width: 7px;
}

.mlops-Dot.mlops-mod-canary {
  background: var(--jp-warn-color1);
}

.mlops-Dot.mlops-mod-draining {
  background: var(--jp-border-color1);
}

.mlops-Bad {
  font-weight: 700;
  text-decoration: underline;
  text-decoration-color: var(--jp-error-color1);
}

.mlops-Sparks {
  display: grid;
  gap: 2px 10px;
  grid-template-columns: 1fr 1fr;
  margin: 6px 0;
}

.mlops-Spark {
  display: grid;
  font-size: var(--jp-ui-font-size0);
  grid-template: 'label value' auto 'line line' 24px / 1fr auto;
}

.mlops-Spark-label {
  grid-area: label;
  opacity: 0.82;
}

.mlops-Spark-value {
  font-variant-numeric: tabular-nums;
  grid-area: value;
}

.mlops-Spark svg {
  border-bottom: 1px solid var(--jp-border-color2);
  grid-area: line;
  height: 24px;
  width: 100%;
}

.mlops-Spark polyline {
  fill: none;
  stroke: var(--jp-success-color1);
  stroke-width: 1.5;
  vector-effect: non-scaling-stroke;
}

.mlops-Spark polyline.mlops-mod-canary {
  stroke: var(--jp-warn-color1);
}

.mlops-Operations {
  display: flex;
  flex-wrap: wrap;
  gap: 6px;
  margin: 6px 0 4px;
}

.mlops-History {
  font-size: var(--jp-ui-font-size0);
}

.mlops-History summary {
  cursor: pointer;
}

.mlops-History ul {
  list-style: none;
  margin: 4px 0;
  overflow-wrap: anywhere;
  padding: 0;
}

.mlops-History li {
  margin-bottom: 3px;
}

.mlops-Rollback {
  border-left: 2px solid var(--jp-error-color1);
  margin: 4px 0;
  padding-left: 6px;
}

/* System */

.mlops-System {
  display: grid;
  gap: 6px;
}

.mlops-System dl {
  display: grid;
  gap: 2px 8px;
  grid-template-columns: auto 1fr;
  margin: 0;
}

.mlops-System dt {
  font-size: var(--jp-ui-font-size0);
  opacity: 0.82;
}

.mlops-System dd {
  margin: 0;
  overflow-wrap: anywhere;
}

.mlops-System dd[data-state='ok']::before {
  color: var(--jp-success-color1);
  content: '✓ ';
}

.mlops-Chips {
  display: flex;
  flex-wrap: wrap;
  gap: 4px;
}

/* In notebooks */

.mlops-View {
  overflow-x: auto;
  padding: 4px 0;
}

/* As JupyterLab puts the tables of other outputs; its rule reaches only an output's own node. */
.mlops-View .jp-RenderedHTMLCommon table {
  margin-left: 0;
  margin-right: 0;
}

.mlops-mod-found {
  outline: 2px solid var(--jp-brand-color1);
}

@media (prefers-reduced-motion: no-preference) {
  .mlops-mod-found {
    transition: outline-color 0.3s;
  }
}
`,""]),e.d(r,{},{A:l})},314(o){o.exports=function(o){var r=[];return r.toString=function(){return this.map(function(r){var e="",a=void 0!==r[5];return r[4]&&(e+="@supports (".concat(r[4],") {")),r[2]&&(e+="@media ".concat(r[2]," {")),a&&(e+="@layer".concat(r[5].length>0?" ".concat(r[5]):""," {")),e+=o(r),a&&(e+="}"),r[2]&&(e+="}"),r[4]&&(e+="}"),e}).join("")},r.i=function(o,e,a,t,p){"string"==typeof o&&(o=[[null,o,void 0]]);var l={};if(a)for(var n=0;n<this.length;n++){var i=this[n][0];null!=i&&(l[i]=!0)}for(var s=0;s<o.length;s++){var d=[].concat(o[s]);a&&l[d[0]]||(void 0!==p&&(void 0===d[5]||(d[1]="@layer".concat(d[5].length>0?" ".concat(d[5]):""," {").concat(d[1],"}")),d[5]=p),e&&(d[2]&&(d[1]="@media ".concat(d[2]," {").concat(d[1],"}")),d[2]=e),t&&(d[4]?(d[1]="@supports (".concat(d[4],") {").concat(d[1],"}"),d[4]=t):d[4]="".concat(t)),r.push(d))}},r}},601(o){o.exports=function(o){return o[1]}},72(o){var r=[];function e(o){for(var e=-1,a=0;a<r.length;a++)if(r[a].identifier===o){e=a;break}return e}function a(o,a){for(var t={},p=[],l=0;l<o.length;l++){var n=o[l],i=a.base?n[0]+a.base:n[0],s=t[i]||0,d="".concat(i," ").concat(s);t[i]=s+1;var c=e(d),m={css:n[1],media:n[2],sourceMap:n[3],supports:n[4],layer:n[5]};if(-1!==c)r[c].references++,r[c].updater(m);else{var u=function(o,r){var e=r.domAPI(r);return e.update(o),function(r){r?(r.css!==o.css||r.media!==o.media||r.sourceMap!==o.sourceMap||r.supports!==o.supports||r.layer!==o.layer)&&e.update(o=r):e.remove()}}(m,a);a.byIndex=l,r.splice(l,0,{identifier:d,updater:u,references:1})}p.push(d)}return p}o.exports=function(o,t){var p=a(o=o||[],t=t||{});return function(o){o=o||[];for(var l=0;l<p.length;l++){var n=e(p[l]);r[n].references--}for(var i=a(o,t),s=0;s<p.length;s++){var d=e(p[s]);0===r[d].references&&(r[d].updater(),r.splice(d,1))}p=i}}},659(o){var r={};o.exports=function(o,e){var a=function(o){if(void 0===r[o]){var e=document.querySelector(o);if(window.HTMLIFrameElement&&e instanceof window.HTMLIFrameElement)try{e=e.contentDocument.head}catch(o){e=null}r[o]=e}return r[o]}(o);if(!a)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");a.appendChild(e)}},540(o){o.exports=function(o){var r=document.createElement("style");return o.setAttributes(r,o.attributes),o.insert(r,o.options),r}},56(o,r,e){o.exports=function(o){var r=e.nc;r&&o.setAttribute("nonce",r)}},825(o){o.exports=function(o){if("u"<typeof document)return{update:function(){},remove:function(){}};var r=o.insertStyleElement(o);return{update:function(e){var a,t,p;a="",e.supports&&(a+="@supports (".concat(e.supports,") {")),e.media&&(a+="@media ".concat(e.media," {")),(t=void 0!==e.layer)&&(a+="@layer".concat(e.layer.length>0?" ".concat(e.layer):""," {")),a+=e.css,t&&(a+="}"),e.media&&(a+="}"),e.supports&&(a+="}"),(p=e.sourceMap)&&"u">typeof btoa&&(a+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(p))))," */")),o.styleTagTransform(a,r,o.options)},remove:function(){var o;null===(o=r).parentNode||o.parentNode.removeChild(o)}}}},113(o){o.exports=function(o,r){if(r.styleSheet)r.styleSheet.cssText=o;else{for(;r.firstChild;)r.removeChild(r.firstChild);r.appendChild(document.createTextNode(o))}}}}]);