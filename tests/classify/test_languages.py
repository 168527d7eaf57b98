"""In which language a text is written, and its code."""

from __future__ import annotations

import time

import pytest

from glasslipper.classify import code_language, language

SENTENCES = {
    "en": ["Can you help me plan a surprise party?", "refactor this class", "Where did it rain?"],
    "es": ["¿Me puedes ayudar con una receta?", "Quiero aprender a tocar la guitarra este año"],
    "fr": ["Peux-tu corriger cette lettre ?", "Je cherche un cadeau pour mon frère"],
    "de": ["Kannst du mir beim Umzug helfen?", "Ich suche ein Geschenk für meinen Bruder"],
    "pt": ["Você pode corrigir este texto?", "Procuro um presente para o meu irmão"],
    "it": ["Puoi correggere questa lettera?", "Cerco un regalo per mio fratello"],
    "nl": ["Kun je deze brief verbeteren?", "Ik zoek een cadeau voor mijn broer"],
    "sv": ["Kan du rätta det här brevet?", "Jag letar efter en present till min bror"],
    "fi": ["Voitko korjata tämän kirjeen?", "Etsin lahjaa veljelleni, mitä minun pitäisi ostaa"],
    "pl": ["Czy możesz poprawić ten list?", "Szukam prezentu dla mojego brata"],
    "cs": ["Můžeš mi opravit tento dopis?", "Hledám dárek pro svého bratra, co mám koupit"],
    "ro": ["Poți să corectezi această scrisoare?", "Caut un cadou pentru fratele meu"],
    "hu": ["Ki tudod javítani ezt a levelet?", "Ajándékot keresek a bátyámnak, mit vegyek"],
    "tr": ["Bu mektubu düzeltir misin?", "Kardeşim için bir hediye arıyorum"],
    "vi": ["Bạn có thể sửa bức thư này không?", "Tôi đang tìm quà cho anh trai"],
    "id": ["Bisakah kamu memperbaiki surat ini?", "Saya mencari hadiah untuk kakak saya"],
    "ru": ["Можешь исправить это письмо?", "Я ищу подарок для брата"],
    "uk": ["Можеш виправити цього листа?", "Я шукаю подарунок для брата, що мені купити"],
    "ar": ["هل يمكنك تصحيح هذه الرسالة؟", "أبحث عن هدية لأخي"],
    "fa": ["می توانی این نامه را تصحیح کنی؟", "من دنبال هدیه برای برادرم هستم"],
    "hi": ["क्या आप इस पत्र को ठीक कर सकते हैं?", "मैं अपने भाई के लिए उपहार ढूंढ रहा हूं"],
    "zh": ["你能帮我修改这封信吗？", "我想给我哥哥买一份礼物"],
    "ja": ["この手紙を直してもらえますか？", "兄への贈り物を探しています"],
    "ko": ["이 편지를 고쳐 줄 수 있나요?", "형에게 줄 선물을 찾고 있어요"],
    "th": ["ช่วยแก้จดหมายนี้ให้หน่อยได้ไหม"],
    "he": ["אפשר לתקן את המכתב הזה?"],
    "el": ["Μπορείς να διορθώσεις αυτό το γράμμα;"],
}
"""Written for this test, after the detector."""

SNIPPETS = {
    "python": "def area(r):\n    import math\n    return math.pi * r ** 2\n\nprint(area(2))",
    "javascript": "const xs = [1, 2];\nxs.forEach((x) => {\n  console.log(x);\n});",
    "typescript": "interface User {\n  name: string;\n  age: number;\n}\nconst u = {} as User;",
    "java": "public class Main {\n  public static void main(String[] a) {\n"
    '    System.out.println("x");\n  }\n}',
    "c": '#include <stdio.h>\nint main(void) {\n  printf("%d\\n", 3);\n  return 0;\n}',
    "cpp": "#include <vector>\nstd::vector<int> v;\nint main() { std::cout << v.size(); }",
    "csharp": "using System;\nclass P {\n  static void Main(string[] args) {\n"
    '    Console.WriteLine("x");\n  }\n}',
    "go": 'package main\nimport "fmt"\nfunc main() {\n  x := 1\n  fmt.Println(x)\n}',
    "rust": 'fn main() {\n  let mut x = 1;\n  println!("{}", x);\n}',
    "ruby": "class Dog\n  def bark\n    puts 'woof'\n  end\nend",
    "php": "<?php\n$x = 3;\necho $x;",
    "sql": "SELECT name FROM users WHERE age > 3 GROUP BY name",
    "bash": "#!/bin/bash\nfor f in *.txt; do\n  grep -c x $f | sort\ndone",
    "html": "<div><p>Hello</p><ul><li>one</li></ul></div>",
    "css": ".card {\n  color: red;\n  display: flex;\n}",
    "kotlin": 'fun main() {\n  val x = 3\n  println("$x")\n}',
    "swift": "import SwiftUI\nfunc add(a: Int) -> Int {\n  guard let b = f() else { return 0 }\n}",
}


def test_a_sentence_is_recognised_in_nearly_every_language() -> None:
    wrong = [
        (name, text, language(text))
        for name, texts in SENTENCES.items()
        for text in texts
        if language(text) != name
    ]
    total = sum(map(len, SENTENCES.values()))
    assert len(wrong) <= 0.03 * total, wrong


@pytest.mark.parametrize(("name", "code"), SNIPPETS.items())
def test_the_language_of_code_is_recognised(name: str, code: str) -> None:
    assert code_language(f"What does this do?\n\n{code}") == name
    assert code_language(f"What does this do?\n```\n{code}\n```") == name


def test_the_name_after_a_fence_is_believed() -> None:
    assert code_language("```rs\nlet x = 1;\n```") == "rust"
    assert code_language("```Python3\nx\n```") == "python"


def test_prose_has_no_code_language() -> None:
    for texts in SENTENCES.values():
        assert [code_language(text) for text in texts] == [None] * len(texts)


def test_code_in_a_question_does_not_change_the_questions_language() -> None:
    assert language("Was bedeutet das?\n```python\nwhile True:\n    return the_list\n```") == "de"


@pytest.mark.parametrize("text", ["", "12345", "???", "```\ncode\n```", "x", "https://a.b/c"])
def test_where_there_is_nothing_to_go_by_no_language_is_told(text: str) -> None:
    assert language(text) is None


@pytest.mark.parametrize("piece", ["`", "```", "(", "def f(", "a" * 50, "\n", "<", "* ", "ä"])
def test_no_text_takes_long(piece: str) -> None:
    text = piece * 200_000
    began = time.process_time()
    language(text)
    code_language(text[:2_000])
    assert time.process_time() - began < 1.0
