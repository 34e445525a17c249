/* The document: what is to be there is made with h(), and patch() changes only what differs, so that a refresh takes away
   no selection, tick, focus or scroll position. Text and attributes reach the document through inert() alone. */
import { inert } from './escape.js';

const SVG = 'http://www.w3.org/2000/svg';
const AFTER = ['value', 'born', 'own']; // not attributes: dress and patch see to them

export const $ = (id) => document.getElementById(id);
export const dialogOpen = () => document.querySelector('dialog[open]');

/* h('div.row#id', { … }, kids …): what is to be there; the properties may be left out. Of these, `key` names a node among
   its siblings, `own` leaves its kids alone, `born` is called with a new node, `on…` are handlers. */
export function h(what, ...kids) {
  const [tag, ...marks] = what.split(/(?=[.#])/);
  const [first] = kids;
  const isGiven = first && typeof first === 'object' && !first.tag && !Array.isArray(first);
  const props = isGiven ? { ...kids.shift() } : {};
  for (const mark of marks) {
    if (mark[0] === '#') props.id = mark.slice(1);
    else props.class = `${props.class ? `${props.class} ` : ''}${mark.slice(1)}`;
  }
  return { tag, props, kids: kids.flat(Infinity).filter((kid) => kid != null && kid !== false && kid !== '') };
}

function setProp(node, name, value) {
  if (AFTER.includes(name)) return;
  if (name === 'key') node.vkey = value;
  else if (name.startsWith('on')) node[name] = value || null;
  else if (name === 'checked' || name === 'indeterminate') node[name] = !!value;
  else if (name === 'style') for (const [key, what] of Object.entries(value || {})) node.style.setProperty(key, what);
  else if (value == null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? '' : inert(String(value)));
}

function isSelected(node) {
  const selection = getSelection();
  return selection.rangeCount && !selection.isCollapsed && selection.containsNode(node, true);
}

function dress(node, { props, kids }) {
  const old = node.vprops || {};
  for (const name in old) if (!(name in props)) setProp(node, name);
  for (const name in props) if (props[name] !== old[name] || name === 'checked') setProp(node, name, props[name]);
  node.vprops = props;
  if (!props.own && !(node.localName === 'time' && isSelected(node))) patch(node, kids);
  const isTyped = node === document.activeElement && node.localName === 'input'; // what is being typed is newer
  if ('value' in props && props.value !== old.value && !isTyped) node.value = props.value;
}

/* Makes `kids` the children of `parent`: by key, else by place; what stays is not moved. */
export function patch(parent, kids) {
  const wanted = new Set(kids.map((kid) => kid.props?.key));
  const keyed = new Map();
  for (const node of [...parent.childNodes]) {
    if (node.vkey == null) continue;
    if (wanted.has(node.vkey)) keyed.set(node.vkey, node);
    else node.remove();
  }
  let next = parent.firstChild;
  for (const kid of kids) {
    const node = typeof kid === 'object' ? patchElement(parent, kid, keyed, next) : patchText(String(kid), next);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

function patchText(words, next) {
  const text = inert(words);
  const node = next?.nodeType === Node.TEXT_NODE ? next : document.createTextNode(text);
  if (node.data !== text) node.data = text;
  return node;
}

function patchElement(parent, kid, keyed, next) {
  const { key, born } = kid.props;
  const isNext = key == null && next && next.vkey == null && next.localName === kid.tag;
  const old = isNext ? next : keyed.get(key);
  const node = old || document.createElementNS(kid.tag === 'svg' ? SVG : parent.namespaceURI, kid.tag);
  dress(node, kid);
  if (!old && born) born(node);
  return node;
}
