// Folds the text of a help into lines that fit a terminal.

const WIDTH = 120;

/** The lines of `text`, each with the indent before it. A word that is longer than a line stays whole. */
export function folded(text: string, indent = ''): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + word.length >= WIDTH) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, indent + line];
}
