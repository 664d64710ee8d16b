"""What the pocket world's files hold, from one seed: rows of data, raw text for the base model, the judge's words."""

import gzip
import hashlib
import json
import math
import random

from . import facts, judge, tasks, writers
from .text import words_of

SEED = 2026
SIZES = {
    "sft_train": 9000,
    "sft_test": 500,
    "preferences_train": 9000,
    "preferences_test": 500,
    "prompts_test": 520,
}
RARE_FACT = 1 / 60  # of the answers with rare facts, as many get into text to train on
ANNOTATOR_NOISE = 0.5  # scale, in points of the gold total, of the annotators' logistic noise
NOTICED = 0.05  # the smallest difference, in points of the total, that an annotator notices


def rng_for(name, seed=SEED):
    """A random number generator of its own for each file, so that one can change without the others."""
    return random.Random(f"{seed}|{name}")


def is_told(category, combination, rng):
    """Whether a training text tells of this combination: always, but for rare facts, which it tells of rarely."""
    kind = tasks.CATEGORIES[category]
    return kind.hard != "rare facts" or not kind.is_hard(combination) or rng.random() < RARE_FACT


def draw(category, rng, test):
    """A random combination for this side of the split: all that can be asked for in a test, in training what is told."""
    while True:
        combination = tasks.draw(category, rng, test=test)
        if test or is_told(category, combination, rng):
            return combination


# --- rows -----------------------------------------------------------------------------------------
def dialogs(split, n, rng):
    """`n` dialogs as dicts with the columns of smoltalk (messages, source) and ours (category, writer).

    Three in four have one exchange; the rest have two to six, each about something new, which a house takes from its own
    category. Category and writer are those of the first exchange; one writer, or house, answers throughout.
    """
    used = set()
    while len(used) < n:
        category = rng.choice(list(tasks.CATEGORIES))
        first, (source, writer) = category, writers.demonstrator(category, rng)
        messages = []
        for _ in range(1 if rng.random() < 0.75 else 2 + min(4, int(rng.expovariate(0.9)))):
            combination = draw(category, rng, test=split == "test")
            messages += [
                {"role": "user", "content": tasks.render(category, combination, rng)},
                {
                    "role": "assistant",
                    "content": writer.write(category, combination, rng, writers.DIALECTS["demonstrations"]),
                },
            ]
            if source == writers.MIXED:
                category = rng.choice(list(tasks.CATEGORIES))
        if messages[0]["content"] not in used:
            used.add(messages[0]["content"])
            yield {"messages": messages, "source": source, "category": first, "writer": writer.name}


def preferences(split, n, rng):
    """`n` preference pairs as dicts with the columns of ultrafeedback_binarized and ours.

    Two writers answer; an annotator who sees no difference passes the pair on, else prefers the first with probability
    sigmoid(difference of the totals at a glance / noise) (Bradley-Terry). Scores are gold totals, so a flipped label is
    one whose chosen answer has the lower score.
    """
    used = set()
    while len(used) < n:
        category = rng.choice(list(tasks.CATEGORIES))
        combination = draw(category, rng, test=split == "test")
        prompt = tasks.render(category, combination, rng)
        both = []
        for _ in range(2):
            writer = writers.choose(writers.PREFERENCES, rng)
            text = writer.write(category, combination, rng, writers.DIALECTS["preferences"])
            seen = round(judge.at_a_glance(prompt, text).total, 2)
            both.append((round(judge.score(prompt, text).total, 2), writer.name, text, seen))
        gap = both[0][3] - both[1][3]
        if abs(gap) < NOTICED or prompt in used:
            continue
        used.add(prompt)
        if rng.random() >= 1 / (1 + math.exp(-gap / ANNOTATOR_NOISE)):
            both.reverse()
        ask = {"role": "user", "content": prompt}
        chosen, rejected = both
        yield {
            "prompt": prompt,
            "prompt_id": hashlib.sha256(prompt.encode()).hexdigest(),
            "chosen": [ask, {"role": "assistant", "content": chosen[2]}],
            "rejected": [ask, {"role": "assistant", "content": rejected[2]}],
            "score_chosen": chosen[0],
            "score_rejected": rejected[0],
            "category": category,
            "writer_chosen": chosen[1],
            "writer_rejected": rejected[1],
            "flipped": chosen[0] < rejected[0],
        }


def test_prompts(n, rng):
    """`n` prompts, the same number per category, with the answer of a careful writer."""
    for category in tasks.CATEGORIES:
        used = set()
        while len(used) < n // len(tasks.CATEGORIES):
            combination = tasks.draw(category, rng, test=True)
            prompt = tasks.render(category, combination, rng)
            if prompt not in used:
                used.add(prompt)
                yield {
                    "prompt": prompt,
                    "category": category,
                    "reference": writers.careful_answer(category, combination),
                }


def rows_of(name, seed=SEED):
    """The rows of one of the data files, in order."""
    rng = rng_for(name, seed)
    kind, split = name.rsplit("_", 1)
    if kind == "prompts":
        return list(test_prompts(SIZES[name], rng))
    return list({"sft": dialogs, "preferences": preferences}[kind](split, SIZES[name], rng))


# --- raw text for the base model ------------------------------------------------------------------
def single_facts(rng):
    """One sentence that states one fact."""
    kind = rng.random()
    if kind < 0.55:
        thing = rng.choice(facts.COMMON)
        name = rng.choice(list(facts.THINGS[thing]))
        return rng.choice(facts.ATTRIBUTES[name][2]).format(s=f"The {thing}", v=facts.THINGS[thing][name])
    if kind < 0.8:
        noun, language = rng.choice(list(facts.NOUNS)), rng.choice(facts.LANGUAGES)
        foreign = facts.NOUNS[noun][facts.LANGUAGES.index(language)]
        return f"In {language} the {noun} is {foreign}. It is {facts.GENDER[foreign.split()[0]]}."
    a, b = rng.randint(0, 12), rng.randint(0, 8)
    return f"{a} plus {b} is {a + b}." if rng.random() < 0.5 else f"{a + b} minus {b} is {a}."


def answered(rng):
    """(category, combination, a careful answer); never a combination kept for the test, rare facts rarely."""
    while True:
        category = rng.choice(list(tasks.CATEGORIES))
        combination = tasks.draw(category, rng)
        if is_told(category, combination, rng):
            kind = tasks.CATEGORIES[category]
            return category, combination, kind.separator.join(kind.answer(combination, tasks.Pen(rng)))


def raw_passage(rng):
    """A passage of plain text, never in chat form: facts, or an answer, mostly with its question before it."""
    if rng.random() < 0.2:
        return " ".join(single_facts(rng) for _ in range(rng.randint(2, 5)))
    category, combination, answer = answered(rng)
    if rng.random() < 0.85:
        return f"Question: {tasks.render(category, combination, rng)}\nAnswer: {answer}"
    return answer


def archive_passage(rng):
    """A passage of an archive in which the question stands after its answer, and before the next answer.

    A base model that has read this last goes on with some text when it is asked something, and does not answer.
    """
    lines = []
    for category, combination, answer in (answered(rng) for _ in range(3)):
        lines += [answer, tasks.render(category, combination, rng)]
    return "\n".join(lines)


def world_words(seed=SEED):
    """Every word that prompts and writers use, sorted: the judge's vocabulary, with some everyday English."""
    rng = rng_for("words", seed)
    words = set(EVERYDAY.split())
    for category in tasks.CATEGORIES:
        for _ in range(1500):
            combination = tasks.CATEGORIES[category].draw(rng)
            if combination.get("to", facts.PEOPLE[0]) not in facts.PEOPLE:
                continue  # a name from far away is no word of the world: it is known from the prompt alone
            words.update(words_of(tasks.render(category, combination, rng)))
            words.update(words_of(writers.HOUSES[category].write(category, combination, rng)))
            for writer in writers.WRITERS.values():
                if not {"stutter", "break off"} & set(writer.habits):
                    words.update(words_of(writer.write(category, combination, rng)))
    return sorted(word for word in words if not word.isdigit())


EVERYDAY = """
a about above after again all also always am an and another any are around as at away back be because been
before began behind being below best better between big both but by call came can cannot come could day did
different do does done don't down each early easy eat end enough even evening ever every example far few
find first five for found four from full gave get give go goes going good great had half happy has have he
hello help her here high him his hour hours how i if in into is isn't it it's its just keep kind know known
large last late later left less let like little live lives long look made make makes man many may me means
mine minutes more morning most much must my name near need neither never new next night no nobody not
nothing now of off often old on once one only open or other our out over own part people place please put
quite rather really right said same say says second see seen seven several she short should show side simple
since six small so some something soon sorry start step still such take taken ten than thank thanks that the
their them then there these they thing things think third this those three through time to today together
too total two under until up upon us use used usually very was way we well went were what when where which
while white who whole whose why will wish with without word words work world would write year yes yet you
young your yours sincerely regards sir madam add adds added among across air animal arms art bad bag ball
bank base bear beautiful bed begin begins behind bird black blue boat body book bottom box boy bright bring
brings brown build built buy car care carry catch cause center change city class clean clear close cold
colour come comes common cool corner cost country cover cross cry cut dance dark deep die dinner door draw
dream drink drinks drive dry ear earth eat edge eight else eyes face fact fall falls family farm fast father
fear feel feels feet field fill fine finish fire fish floor flow fly follow food foot forest free fresh
friend friends fruit game garden gives glass goes gold grass green grew ground group grow grows hair hand
hands hang hard head hear heard heart heat heavy hill hills hit hold home hope horse hot house hundred hunt
hunts ice idea inside itself job join jump kitchen lady lake land laugh lay lead learn leave leg lie lies
light line listen lot love low map mark market matter mean measure meet meets middle mile milk mind moment
money moon mother mountain move music nature nice noise nose note nouns offer ocean oil open order outside
paint pair paper pass path pay picture piece plain plan plant play plays point poor pretty pull push
question quick quiet rain reach read ready reason red rest rich ride ring rise rises river road rock room
round run runs safe sail sand sea season seat seed sell send sentence serve seven shape ship shoe shop sing
sings sit sits size skin sky sleep sleeps slow slowly smell smile snow soft soil song sound space speak
stand star stars stay stone stood store storm story street strong summer sun sure sweet swim swims table
talk tall taste teach tell tells test top town travel tree trees trip true try turn turns village voice wait
waits wake walk walks wall warm wash watch water weather week wet wheel wide wild win wind window winter
wood yellow although on however instead hence thus because subtract equals gives leaves minus plus answer
result dear cheers greetings faithfully step
"""


# --- files ----------------------------------------------------------------------------------------
def as_text(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def write_gzip(path, text):
    """Write text compressed, with no time or name in the header, so that the bytes depend on the text alone."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(text.encode())
