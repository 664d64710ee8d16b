"""What is true in the pocket world: plain tables, and nothing else.

Every value is one word where it can be, so that the judge can look for words rather than for sentences.
"""

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jack", "Lucy", "Tom")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# --- things: what general knowledge and imitation ask about ---------------------------------------
ANIMAL_ATTRIBUTES = ("colour", "home", "food", "hour", "young")
ANIMALS = {
    "fox": ("red", "forest", "mice", "night", "cub"),
    "owl": ("brown", "barn", "mice", "night", "chick"),
    "bear": ("black", "mountains", "honey", "noon", "cub"),
    "frog": ("green", "pond", "flies", "night", "tadpole"),
    "duck": ("white", "pond", "weeds", "noon", "chick"),
    "horse": ("brown", "field", "grass", "noon", "foal"),
    "cow": ("white", "field", "grass", "noon", "calf"),
    "sheep": ("white", "hills", "grass", "noon", "lamb"),
    "goat": ("grey", "mountains", "leaves", "noon", "kid"),
    "wolf": ("grey", "forest", "meat", "night", "cub"),
    "seal": ("grey", "sea", "fish", "noon", "pup"),
    "whale": ("black", "sea", "shrimp", "noon", "calf"),
    "squirrel": ("red", "forest", "nuts", "noon", "kit"),
    "rabbit": ("brown", "hills", "leaves", "dawn", "kit"),
    "robin": ("red", "garden", "worms", "dawn", "chick"),
    "crow": ("black", "field", "seeds", "dawn", "chick"),
    "hedgehog": ("brown", "garden", "worms", "night", "pup"),
    "bat": ("black", "cave", "flies", "night", "pup"),
    "camel": ("yellow", "desert", "weeds", "noon", "calf"),
    "lion": ("yellow", "desert", "meat", "night", "cub"),
    "heron": ("grey", "river", "fish", "dawn", "chick"),
    "otter": ("brown", "river", "fish", "night", "pup"),
    "deer": ("red", "hills", "leaves", "dawn", "calf"),
    "parrot": ("green", "jungle", "seeds", "noon", "chick"),
    "lynx": ("yellow", "mountains", "meat", "dawn", "kit"),
    "ibis": ("white", "river", "worms", "dawn", "chick"),
    "newt": ("brown", "pond", "flies", "dawn", "tadpole"),
    "moose": ("black", "forest", "weeds", "night", "calf"),
}
PLANT_ATTRIBUTES = ("colour", "place", "taste", "season", "dish")
PLANTS = {
    "apple": ("red", "tree", "sweet", "autumn", "cake"),
    "lemon": ("yellow", "tree", "sour", "winter", "juice"),
    "pear": ("green", "tree", "sweet", "autumn", "juice"),
    "cherry": ("red", "tree", "sour", "summer", "jam"),
    "plum": ("blue", "tree", "sweet", "autumn", "jam"),
    "carrot": ("orange", "ground", "sweet", "summer", "soup"),
    "onion": ("brown", "ground", "hot", "autumn", "soup"),
    "potato": ("brown", "ground", "mild", "autumn", "soup"),
    "radish": ("red", "ground", "hot", "spring", "salad"),
    "tomato": ("red", "vine", "mild", "summer", "sauce"),
    "grape": ("blue", "vine", "sweet", "autumn", "juice"),
    "pumpkin": ("orange", "vine", "mild", "autumn", "cake"),
    "bean": ("green", "vine", "mild", "summer", "salad"),
    "rose": ("red", "bush", "bitter", "summer", "tea"),
    "mint": ("green", "bush", "hot", "spring", "tea"),
    "currant": ("black", "bush", "sour", "summer", "jam"),
    "quince": ("yellow", "tree", "bitter", "autumn", "jam"),
    "fennel": ("green", "ground", "mild", "spring", "tea"),
    "medlar": ("brown", "tree", "sour", "winter", "cake"),
    "sorrel": ("green", "ground", "sour", "spring", "sauce"),
}
TOOL_ATTRIBUTES = ("material", "shelf", "job", "owner")
TOOLS = {
    "hammer": ("iron", "shed", "building", "smith"),
    "spoon": ("wood", "kitchen", "cooking", "baker"),
    "net": ("rope", "boathouse", "fishing", "sailor"),
    "needle": ("steel", "attic", "sewing", "tailor"),
    "spade": ("iron", "shed", "digging", "farmer"),
    "kettle": ("copper", "kitchen", "cooking", "grandmother"),
    "brush": ("hair", "attic", "painting", "artist"),
    "lamp": ("glass", "cellar", "reading", "teacher"),
    "basket": ("straw", "cellar", "shopping", "grandmother"),
    "saw": ("steel", "shed", "building", "carpenter"),
    "broom": ("straw", "kitchen", "sweeping", "baker"),
    "rod": ("wood", "boathouse", "fishing", "sailor"),
    "loom": ("wood", "attic", "sewing", "grandmother"),
    "trowel": ("steel", "cellar", "digging", "carpenter"),
    "anvil": ("iron", "cellar", "building", "smith"),
    "ladle": ("copper", "boathouse", "cooking", "sailor"),
}
KINDS = ((ANIMALS, ANIMAL_ATTRIBUTES), (PLANTS, PLANT_ATTRIBUTES), (TOOLS, TOOL_ATTRIBUTES))
THINGS = {name: dict(zip(attributes, values)) for table, attributes in KINDS for name, values in table.items()}
# things that hardly any text tells of: one can ask about them, but only a model that remembers rare facts can answer
RARE = ("lynx", "ibis", "newt", "moose", "quince", "fennel", "medlar", "sorrel", "loom", "trowel", "anvil", "ladle")
COMMON = tuple(thing for thing in THINGS if thing not in RARE)
# every value that an attribute takes somewhere; the others are what a mistaken writer says instead
VALUES = {}
for _facts in THINGS.values():
    for _attribute, _value in _facts.items():
        VALUES.setdefault(_attribute, [])
        if _value not in VALUES[_attribute]:
            VALUES[_attribute].append(_value)

# attribute: how a prompt asks for it (noun, clause), how an answer says it ({s} is "The fox" or "It")
ATTRIBUTES = {
    "colour": (
        "colour",
        "what colour it has",
        ("{s} is {v}.", "{s} is {v} in colour.", "{s} is mostly {v}."),
    ),
    "home": (
        "home",
        "where it lives",
        ("{s} lives in the {v}.", "{s} makes its home in the {v}.", "{s} is at home in the {v}."),
    ),
    "food": ("food", "what it eats", ("{s} eats {v}.", "{s} likes to eat {v}.", "{s} feeds on {v}.")),
    "hour": (
        "waking hour",
        "when it is awake",
        ("{s} wakes at {v}.", "{s} is awake at {v}.", "{s} comes out at {v}."),
    ),
    "young": (
        "young",
        "what its young is called",
        ("{s} calls its young a {v}.", "{s} has a {v} as its young.", "{s} has a young called a {v}."),
    ),
    "place": (
        "place",
        "where it grows",
        ("{s} grows on the {v}.", "{s} is found on the {v}.", "{s} grows best on the {v}."),
    ),
    "taste": (
        "taste",
        "how it tastes",
        ("{s} tastes {v}.", "{s} has a {v} taste.", "{s} is {v} on the tongue."),
    ),
    "season": (
        "season",
        "when it is ripe",
        ("{s} is ripe in {v}.", "{s} is picked in {v}.", "{s} is ready in {v}."),
    ),
    "dish": (
        "dish",
        "what people make of it",
        ("{s} is good for {v}.", "{s} is used for {v}.", "{s} goes well into {v}."),
    ),
    "material": (
        "material",
        "what it is made of",
        ("{s} is made of {v}.", "{s} is all {v}.", "{s} is built from {v}."),
    ),
    "shelf": (
        "room",
        "where it is kept",
        ("{s} is kept in the {v}.", "{s} stays in the {v}.", "{s} can be found in the {v}."),
    ),
    "job": (
        "use",
        "what it is used for",
        ("{s} is used for {v}.", "{s} is good for {v}.", "{s} helps with {v}."),
    ),
    "owner": (
        "owner",
        "who owns it",
        ("{s} belongs to the {v}.", "{s} is owned by the {v}.", "The {v} owns it."),
    ),
}

# --- math -----------------------------------------------------------------------------------------
ITEMS = (
    "apples",
    "books",
    "coins",
    "eggs",
    "shells",
    "stones",
    "cups",
    "roses",
    "nuts",
    "cards",
    "pears",
    "hats",
)
MORE = ("finds", "buys", "gets", "picks")
LESS = ("loses", "sells", "gives away", "breaks")

# --- explanation: causes and effects, as trees (every event has one cause) ------------------------
# event: (cause or None, the words that show that a response names it)
EVENTS = {
    "rain falls all night": (None, ("rain",)),
    "the river rises": ("rain falls all night", ("river", "rises")),
    "the bridge is closed": ("the river rises", ("bridge", "closed")),
    "the bus takes the long road": ("the bridge is closed", ("bus", "road")),
    "the children come late": ("the bus takes the long road", ("children", "late")),
    "the lesson starts at noon": ("the children come late", ("lesson", "noon")),
    "the fields stand under water": ("the river rises", ("fields", "water")),
    "the wheat rots": ("the fields stand under water", ("wheat", "rots")),
    "the baker has no flour": ("the wheat rots", ("baker", "flour")),
    "bread becomes dear": ("the baker has no flour", ("bread", "dear")),
    "the sun shines for weeks": (None, ("sun",)),
    "the grass dries": ("the sun shines for weeks", ("grass", "dries")),
    "the cows go hungry": ("the grass dries", ("cows", "hungry")),
    "the farm has little milk": ("the cows go hungry", ("farm", "milk")),
    "cheese becomes rare": ("the farm has little milk", ("cheese", "rare")),
    "the pond shrinks": ("the sun shines for weeks", ("pond", "shrinks")),
    "the frogs leave": ("the pond shrinks", ("frogs", "leave")),
    "the flies multiply": ("the frogs leave", ("flies", "multiply")),
    "people shut the windows": ("the flies multiply", ("people", "windows")),
    "the rooms grow hot": ("people shut the windows", ("rooms", "hot")),
    "a storm comes from the sea": (None, ("storm",)),
    "the boats stay in port": ("a storm comes from the sea", ("boats", "port")),
    "no fish are caught": ("the boats stay in port", ("fish", "caught")),
    "the market is empty": ("no fish are caught", ("market", "empty")),
    "the cooks make soup": ("the market is empty", ("cooks", "soup")),
    "a tree falls": ("a storm comes from the sea", ("tree", "falls")),
    "the wires break": ("a tree falls", ("wires", "break")),
    "the lights go out": ("the wires break", ("lights", "out")),
    "the shops sell candles": ("the lights go out", ("shops", "candles")),
    "the town smells of wax": ("the shops sell candles", ("town", "wax")),
    "snow covers the hills": (None, ("snow",)),
    "the sheep find no grass": ("snow covers the hills", ("sheep", "grass")),
    "the farmer brings hay": ("the sheep find no grass", ("farmer", "hay")),
    "the barn is soon bare": ("the farmer brings hay", ("barn", "bare")),
    "the mice move out": ("the barn is soon bare", ("mice", "move")),
    "the owl flies away": ("the mice move out", ("owl", "away")),
    "the train stops": ("snow covers the hills", ("train", "stops")),
    "the letters wait": ("the train stops", ("letters", "wait")),
    "friends hear no news": ("the letters wait", ("friends", "news")),
    "a visit is forgotten": ("friends hear no news", ("visit", "forgotten")),
}
# what helps against the root of a tree, and who sees it first
HELPS = {
    "rain falls all night": "wall",
    "the sun shines for weeks": "pump",
    "a storm comes from the sea": "harbour",
    "snow covers the hills": "plough",
}
SEES = {
    "rain falls all night": "miller",
    "the sun shines for weeks": "gardener",
    "a storm comes from the sea": "captain",
    "snow covers the hills": "shepherd",
}

# --- creative -------------------------------------------------------------------------------------
IMAGES = (
    "moon",
    "river",
    "star",
    "bell",
    "wind",
    "light",
    "road",
    "song",
    "stone",
    "dream",
    "window",
    "cloud",
    "fire",
    "leaf",
    "silver",
    "shadow",
)

# --- professional writing -------------------------------------------------------------------------
PEOPLE = (
    "Mrs Bell",
    "Mr Stone",
    "Doctor Lake",
    "Mrs Young",
    "Mr Field",
    "Doctor Hill",
    "Mrs Rivers",
    "Mr Baker",
)
TITLES = ("Mrs", "Mr", "Doctor")
# names from far away, such as Mr Tovaku, are put together of three of these: a million of them, to be copied and not known
SYLLABLES = tuple(first + second for first in "bdfgklmnprstvz" for second in "aeiou")
OCCASIONS = ("meeting", "lesson", "dinner", "visit", "delivery", "concert", "match", "trip")
REASONS = {
    "the storm": "storm",
    "a late train": "train",
    "the closed bridge": "bridge",
    "a bad cold": "cold",
    "the holiday": "holiday",
    "a broken car": "car",
    "the deep snow": "snow",
    "a lost key": "key",
}

# --- procedures: action: (objects, tool, four steps as (sentence, words that show it)) ------------
ACTIONS = {
    "paint": (
        ("fence", "door", "chair", "gate", "boat", "wall", "shelf", "toy"),
        "brush",
        (
            ("Clean the {o}.", "clean"),
            ("Stir the paint.", "stir"),
            ("Paint the {o} with care.", "care"),
            ("Let the {o} dry.", "dry"),
        ),
    ),
    "plant": (
        ("rose", "bean", "tree", "mint", "potato", "onion", "apple", "pumpkin"),
        "spade",
        (
            ("Dig a hole for the {o}.", "dig"),
            ("Put the {o} into the hole.", "put"),
            ("Cover it with soil.", "cover"),
            ("Water the {o} well.", "water"),
        ),
    ),
    "cook": (
        ("rice", "soup", "beans", "eggs", "fish", "carrots", "pasta", "potatoes"),
        "pot",
        (
            ("Fill a pot for the {o}.", "fill"),
            ("Heat the water.", "heat"),
            ("Add the {o} and some salt.", "add"),
            ("Serve the {o} warm.", "serve"),
        ),
    ),
    "wash": (
        ("shirt", "coat", "dog", "car", "blanket", "window", "plate", "apron"),
        "soap",
        (
            ("Fetch water for the {o}.", "fetch"),
            ("Rub the {o} with soap.", "rub"),
            ("Rinse the {o} well.", "rinse"),
            ("Hang up the towel.", "hang"),
        ),
    ),
    "mend": (
        ("net", "sock", "sail", "bag", "curtain", "glove", "pillow", "tent"),
        "needle",
        (
            ("Find the hole in the {o}.", "find"),
            ("Cut thread for the {o}.", "cut"),
            ("Sew the {o} slowly.", "sew"),
            ("Tie a knot at the end.", "tie"),
        ),
    ),
    "bake": (
        ("bread", "cake", "pie", "biscuits", "rolls", "pizza", "tart", "muffins"),
        "oven",
        (
            ("Mix flour for the {o}.", "mix"),
            ("Knead the dough.", "knead"),
            ("Bake the {o} for an hour.", "hour"),
            ("Cool the {o} on a plate.", "cool"),
        ),
    ),
    "wrap": (
        ("gift", "book", "vase", "clock", "lamp", "cup", "doll", "spoon"),
        "paper",
        (
            ("Measure the {o}.", "measure"),
            ("Fold the paper.", "fold"),
            ("Tape the {o} well.", "tape"),
            ("Write a name on the {o}.", "write"),
        ),
    ),
    "sell": (
        ("bike", "piano", "table", "goat", "wagon", "guitar", "mirror", "sofa"),
        "price",
        (
            ("Polish the {o}.", "polish"),
            ("Choose a price for the {o}.", "choose"),
            ("Show the {o} at the market.", "show"),
            ("Count the money.", "count"),
        ),
    ),
}

# --- multilingual: noun: (French, Spanish, German, Italian), each with its article ----------------
LANGUAGES = ("French", "Spanish", "German", "Italian")
NOUNS = {
    "house": ("la maison", "la casa", "das Haus", "la casa"),
    "river": ("la rivière", "el río", "der Fluss", "il fiume"),
    "moon": ("la lune", "la luna", "der Mond", "la luna"),
    "sun": ("le soleil", "el sol", "die Sonne", "il sole"),
    "dog": ("le chien", "el perro", "der Hund", "il cane"),
    "cat": ("le chat", "el gato", "die Katze", "il gatto"),
    "bread": ("le pain", "el pan", "das Brot", "il pane"),
    "milk": ("le lait", "la leche", "die Milch", "il latte"),
    "book": ("le livre", "el libro", "das Buch", "il libro"),
    "table": ("la table", "la mesa", "der Tisch", "il tavolo"),
    "door": ("la porte", "la puerta", "die Tür", "la porta"),
    "garden": ("le jardin", "el jardín", "der Garten", "il giardino"),
    "bridge": ("le pont", "el puente", "die Brücke", "il ponte"),
    "sea": ("la mer", "el mar", "das Meer", "il mare"),
    "king": ("le roi", "el rey", "der König", "il re"),
    "horse": ("le cheval", "el caballo", "das Pferd", "il cavallo"),
    "night": ("la nuit", "la noche", "die Nacht", "la notte"),
    "flower": ("la fleur", "la flor", "die Blume", "il fiore"),
    "street": ("la rue", "la calle", "die Straße", "la strada"),
    "fish": ("le poisson", "el pez", "der Fisch", "il pesce"),
}
AND = {"French": "et", "Spanish": "y", "German": "und", "Italian": "e"}
GENDER = {
    "la": "feminine",
    "le": "masculine",
    "el": "masculine",
    "il": "masculine",
    "der": "masculine",
    "die": "feminine",
    "das": "neuter",
}

# --- open-ended discussion: option: what is good about it, what is bad about it -------------------
OPTIONS = (
    {
        "bus": ("cheap", "slow"),
        "bike": ("healthy", "wet"),
        "train": ("fast", "full"),
        "car": ("handy", "noisy"),
        "boat": ("calm", "rare"),
        "taxi": ("easy", "costly"),
    },
    {
        "town": ("lively", "noisy"),
        "village": ("friendly", "dull"),
        "farm": ("green", "lonely"),
        "coast": ("bright", "windy"),
        "castle": ("peaceful", "far"),
        "valley": ("sheltered", "dark"),
    },
    {
        "cat": ("clean", "proud"),
        "dog": ("loyal", "loud"),
        "horse": ("strong", "costly"),
        "hen": ("useful", "silly"),
        "rabbit": ("gentle", "shy"),
        "parrot": ("clever", "rude"),
    },
    {
        "letter": ("personal", "slow"),
        "call": ("quick", "short"),
        "visit": ("warm", "tiring"),
        "card": ("simple", "cold"),
        "gift": ("kind", "costly"),
        "photo": ("lasting", "small"),
    },
)
AUDIENCES = ("child", "student", "teacher", "doctor", "sailor", "farmer", "writer", "family")

# --- imitation: speaker: (opening, its mark, closing, its mark) -----------------------------------
SPEAKERS = {
    "pirate": ("Ahoy, matey!", "ahoy", "Arr, that be all.", "arr"),
    "king": ("Hear me, people!", "hear", "So says the crown.", "crown"),
    "robot": ("Beep, system ready.", "beep", "End of message.", "message"),
    "grandmother": ("Oh my dear!", "oh", "Bless your heart.", "heart"),
    "detective": ("Aha, a clue!", "aha", "The case is solved.", "solved"),
    "ghost": ("Boo, hello there!", "boo", "Now I fade away.", "fade"),
    "cowboy": ("Howdy, partner!", "howdy", "Time to ride on.", "ride"),
    "wizard": ("By my magic hat!", "magic", "The spell is done.", "spell"),
}

# --- classification: reviews ----------------------------------------------------------------------
ASPECTS = ("soup", "room", "service", "bed", "view", "music", "price", "garden", "tea", "pool")
GOOD = ("lovely", "perfect", "pleasant", "superb", "charming", "splendid", "fine", "great")
BAD = ("awful", "poor", "terrible", "dreadful", "shabby", "boring", "sad", "strange")
