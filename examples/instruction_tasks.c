#include "instruction_tasks.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Random choice: splitmix64 ---- */

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

unsigned below(uint64_t *state, unsigned count) {
    return (unsigned)((next_random(state) >> 33) % count);
}

/* ---- Text put together ---- */

void put(text *t, const char *words) {
    size_t length = strlen(words);
    if (length >= sizeof t->at - t->size) {
        fprintf(stderr, "make_instructions: a row is too long\n");
        exit(1);
    }
    memcpy(t->at + t->size, words, length + 1);
    t->size += length;
}

static void put_number(text *t, int number) {
    char digits[16];
    snprintf(digits, sizeof digits, "%d", number);
    put(t, digits);
}

/* The pattern with %1 to %9 replaced by the words given. */
static void fill(text *t, const char *pattern, const char *const *words) {
    char one[2] = "";
    for (; *pattern; pattern++)
        if (pattern[0] == '%' && pattern[1] >= '1' && pattern[1] <= '9')
            put(t, words[*++pattern - '1']);
        else {
            one[0] = *pattern;
            put(t, one);
        }
}
#define FILL(t, pattern, ...) fill((t), (pattern), (const char *const[]){__VA_ARGS__})

/* ---- Words ---- */

static const char *const first_names[] = {"Ana",   "Bruno",   "Chiara", "David",   "Elif",  "Farid", "Greta",  "Hana",
                                          "Ivan",  "Jonas",   "Karin",  "Leo",     "Marta", "Nadia", "Oscar",  "Priya",
                                          "Rosa",  "Samuel",  "Tessa",  "Umar",    "Vera",  "Wanda", "Yusuf",  "Zoe",
                                          "Anton", "Beatrix", "Colin",  "Dorothy", "Emil",  "Fiona", "George", "Helen"};
static const char *const surnames[] = {"Abbot",  "Berger", "Castle",    "Dahl",   "Eriksen", "Fontaine",
                                       "Garcia", "Holm",   "Ivanova",   "Jensen", "Keller",  "Lopez",
                                       "Murray", "Novak",  "Okafor",    "Petrov", "Quist",   "Rossi",
                                       "Sato",   "Turner", "Underhill", "Vogel",  "Walsh",   "Young"};
static const char *const towns[] = {"Aldwick",   "Bellmoor", "Carrow",    "Dunstead", "Eastvale",  "Fernley",
                                    "Graywater", "Hillport", "Kingsford", "Larkhill", "Millbrook", "Northam",
                                    "Oakridge",  "Penrose",  "Redcliff",  "Stonebury"};
static const char *const days[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};
static const char *const rooms[] = {"kitchen", "bedroom", "bathroom",    "hallway", "living room",
                                    "study",   "garage",  "dining room", "attic",   "guest room"};
static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const numbers[] = {"zero",  "one",   "two",  "three", "four",   "five",  "six",
                                      "seven", "eight", "nine", "ten",   "eleven", "twelve"};

static const char *digits_of(int number, char digits[16]) {
    snprintf(digits, 16, "%d", number);
    return digits;
}

/* A time of day in words, and as HH:MM. */
static void make_time(uint64_t *state, text *words, text *clock) {
    int hour = 6 + (int)below(state, 16), minute = 5 * (int)below(state, 12); /* 06:00 to 21:55 */
    char buffer[32];
    const char *part = hour < 12 ? "in the morning" : hour < 18 ? "in the afternoon" : "in the evening";
    const char *now = numbers[(hour + 11) % 12 + 1], *after = numbers[hour % 12 + 1];
    const char *next_part = hour + 1 < 12 ? "in the morning" : hour + 1 < 18 ? "in the afternoon" : "in the evening";
    switch (below(state, 3)) {
    case 0: /* spoken */
        if (hour == 12 && minute == 0)
            put(words, "noon");
        else if (minute == 0)
            FILL(words, "%1 o'clock %2", now, part);
        else if (minute == 15 || minute == 30)
            FILL(words, "%1 past %2 %3", minute == 15 ? "a quarter" : "half", now, part);
        else if (minute == 45)
            FILL(words, "a quarter to %1 %2", after, next_part);
        else if (minute < 30)
            FILL(words, "%1 past %2 %3",
                 minute == 5    ? "five"
                 : minute == 10 ? "ten"
                 : minute == 20 ? "twenty"
                                : "twenty-five",
                 now, part);
        else
            FILL(words, "%1 to %2 %3",
                 minute == 55   ? "five"
                 : minute == 50 ? "ten"
                 : minute == 40 ? "twenty"
                                : "twenty-five",
                 after, next_part);
        break;
    case 1:
        snprintf(buffer, sizeof buffer, "%d:%02d %s", (hour + 11) % 12 + 1, minute, hour < 12 ? "am" : "pm");
        put(words, buffer);
        break;
    default:
        snprintf(buffer, sizeof buffer, "%d:%02d", hour, minute);
        put(words, buffer);
    }
    snprintf(buffer, sizeof buffer, "%02d:%02d", hour, minute);
    put(clock, buffer);
}

/* ---- Requests to JSON commands ---- */

static void alarm_request(uint64_t *state, text *said, text *command) {
    static const char *const ways[] = {"Wake me up at %1 on %2.", "Could you set an alarm for %1, %2?",
                                       "I have to be out of bed by %1 on %2, so please ring then.",
                                       "Alarm for %2 at %1, please.",
                                       "On %2 I need to get up at %1. Do not let me oversleep."};
    text words = {0}, clock = {0};
    const char *day = PICK(state, days);
    make_time(state, &words, &clock);
    FILL(said, PICK(state, ways), words.at, day);
    FILL(command, "{\"action\": \"set_alarm\", \"day\": \"%1\", \"time\": \"%2\"}", day, clock.at);
}

static void remind_request(uint64_t *state, text *said, text *command) {
    static const char *const ways[] = {
        "Remind me to %1 on %2 at %3.", "Please do not let me forget to %1. %2 at %3 would be a good moment.",
        "I must %1 on %2; tell me at %3.", "Can you remind me on %2 at %3 that I have to %1?"};
    static const char *const tasks[] = {"call the dentist",
                                        "water the tomatoes",
                                        "take the bins out",
                                        "renew the library books",
                                        "pick up the dry cleaning",
                                        "pay the electricity bill",
                                        "defrost the fish",
                                        "feed the neighbour's cat",
                                        "send the signed contract back",
                                        "charge the camera",
                                        "book the train to the coast",
                                        "return the drill to my uncle",
                                        "check the tyre pressure",
                                        "buy stamps",
                                        "clean the coffee machine",
                                        "collect the parcel from the post office",
                                        "order new glasses",
                                        "write to the landlord",
                                        "measure the window for curtains",
                                        "sharpen the kitchen knives"};
    text words = {0}, clock = {0};
    const char *day = PICK(state, days), *task = PICK(state, tasks);
    make_time(state, &words, &clock);
    FILL(said, PICK(state, ways), task, day, words.at);
    FILL(command, "{\"action\": \"remind\", \"what\": \"%1\", \"day\": \"%2\", \"time\": \"%3\"}", task, day, clock.at);
}

static void meeting_request(uint64_t *state, text *said, text *command) {
    static const char *const ways[] = {"Book %4 with %1 and %2 on %3 at %5.",
                                       "Please find us a room: %1, %2 and I want to talk on %3 at %5 for %4.",
                                       "%1 and %2 would like to meet me on %3. Put it down for %5, %4.",
                                       "Set up a meeting on %3, %5, with %2 and %1. We need %4."};
    static const struct {
        const char *words, *minutes;
    } lengths[] = {{"half an hour", "30"},         {"an hour", "60"},
                   {"a quarter of an hour", "15"}, {"forty-five minutes", "45"},
                   {"an hour and a half", "90"},   {"two hours", "120"},
                   {"twenty minutes", "20"}};
    unsigned which = below(state, COUNT(lengths)), a = below(state, COUNT(first_names));
    const char *one = first_names[a],
               *two = first_names[(a + 1 + below(state, COUNT(first_names) - 1)) % COUNT(first_names)];
    const char *day = PICK(state, days), *way = PICK(state, ways);
    text words = {0}, clock = {0};
    make_time(state, &words, &clock);
    FILL(said, way, one, two, day, lengths[which].words, words.at);
    bool turned = strstr(way, "%2 and %1") != NULL;
    FILL(command,
         "{\"action\": \"book_meeting\", \"with\": [\"%1\", \"%2\"], \"day\": \"%3\", \"time\": \"%4\", \"minutes\": "
         "%5}",
         turned ? two : one, turned ? one : two, day, clock.at, lengths[which].minutes);
}

static void home_request(uint64_t *state, text *said, text *command) {
    static const char *const light[] = {
        "Dim the light in the %1 to %2 percent.", "The %1 is far too bright. Bring the lamp down to %2 percent.",
        "Set the %1 lights to %2 %.", "I am going to read in the %1, so give me %2 percent light there."};
    static const char *const heat[] = {
        "Make it %2 degrees in the %1.", "It is freezing in the %1! Turn the heating up to %2 degrees.",
        "Keep the %1 at %2 degrees while we are away.", "Please lower the %1 to %2 degrees for the night."};
    char number[16];
    const char *room = PICK(state, rooms);
    if (below(state, 2)) {
        digits_of(5 * (1 + (int)below(state, 19)), number);
        FILL(said, PICK(state, light), room, number);
        FILL(command, "{\"action\": \"set_light\", \"room\": \"%1\", \"percent\": %2}", room, number);
    } else {
        digits_of(15 + (int)below(state, 10), number);
        FILL(said, PICK(state, heat), room, number);
        FILL(command, "{\"action\": \"set_heating\", \"room\": \"%1\", \"degrees\": %2}", room, number);
    }
}

static void shopping_request(uint64_t *state, text *said, text *command) {
    static const char *const ways[] = {"Put %1 on the shopping list.", "We are out of things again. Add %1, please.",
                                       "I am baking at the weekend and still need %1.",
                                       "Before you go to the market, write down %1.",
                                       "For the soup we want %1. Add that to the list."};
    static const char *const goods[] = {"eggs",          "lemons",          "onions",       "carrots",
                                        "candles",       "batteries",       "bread rolls",  "apples",
                                        "tins of beans", "bottles of milk", "bars of soap", "potatoes",
                                        "peppers",       "tea towels",      "light bulbs",  "jars of honey"};
    unsigned kinds = 2 + below(state, 2), good = below(state, COUNT(goods));
    text list = {0};
    put(command, "{\"action\": \"add_to_list\", \"items\": [");
    for (unsigned i = 0; i < kinds; i++) {
        int many = 2 + (int)below(state, 11);
        if (i) put(&list, i + 1 == kinds ? " and " : ", ");
        if (below(state, 2))
            put(&list, numbers[many]);
        else
            put_number(&list, many);
        put(&list, " ");
        put(&list, goods[good]);
        put(command, i ? ", {\"name\": \"" : "{\"name\": \"");
        put(command, goods[good]);
        put(command, "\", \"count\": ");
        put_number(command, many);
        put(command, "}");
        good = (good + 1 + below(state, COUNT(goods) / 3)) % COUNT(goods);
    }
    put(command, "]}");
    FILL(said, PICK(state, ways), list.at);
}

static void message_request(uint64_t *state, text *said, text *command) {
    static const char *const ways[] = {"Tell %1 that %2.", "Send a message to %1: %2.", "Please let %1 know that %2.",
                                       "Write to %1 and say that %2."};
    static const char *const news[] = {"the train is twenty minutes late",
                                       "dinner is at my place tonight",
                                       "the keys are under the blue flower pot",
                                       "the meeting has moved to the big room",
                                       "I found the missing umbrella",
                                       "the plumber comes in the morning",
                                       "we won the quiz by one point",
                                       "the concert tickets have arrived",
                                       "the bakery on the corner is closed today",
                                       "I left the report on the desk",
                                       "the cat is back and in good health",
                                       "there is snow on the pass, so take the valley road",
                                       "my phone will be off until the evening",
                                       "the garden chairs need a second coat of paint"};
    const char *name = PICK(state, first_names), *what = PICK(state, news);
    FILL(said, PICK(state, ways), name, what);
    FILL(command, "{\"action\": \"send_message\", \"to\": \"%1\", \"text\": \"%2\"}", name, what);
}

static void route_request(uint64_t *state, text *said, text *command) {
    static const char *const ways[] = {"How do I get from %1 to %2 by %3? I have to be there at %4.",
                                       "Find me a way to %2 that arrives by %4. I start in %1 and travel by %3.",
                                       "I want to go by %3 from %1 to %2 and arrive no later than %4.",
                                       "%2 by %3, leaving from %1, there before %4: what do you suggest?"};
    static const char *const means[] = {"train", "bus", "car", "bicycle", "ferry", "tram"};
    unsigned a = below(state, COUNT(towns));
    const char *from = towns[a], *to = towns[(a + 1 + below(state, COUNT(towns) - 1)) % COUNT(towns)],
               *by = PICK(state, means);
    text words = {0}, clock = {0};
    make_time(state, &words, &clock);
    FILL(said, PICK(state, ways), from, to, by, words.at);
    FILL(command, "{\"action\": \"find_route\", \"from\": \"%1\", \"to\": \"%2\", \"by\": \"%3\", \"arrive\": \"%4\"}",
         from, to, by, clock.at);
}

void make_command(uint64_t *state, row *r) {
    static void (*const kinds[])(uint64_t *, text *, text *) = {
        alarm_request, remind_request, meeting_request, home_request, shopping_request, message_request, route_request};
    static const char *const asks[] = {"Turn the request into one JSON command.",
                                       "Write the command for this request as JSON.",
                                       "Translate what the person says into a JSON command.",
                                       "What is the JSON command for this request? Give the command only."};
    put(&r->instruction, PICK(state, asks));
    PICK(state, kinds)(state, &r->input, &r->output);
}

/* ---- Messages to fields ---- */

void make_fields(uint64_t *state, row *r) {
    static const char *const asks[] = {"List the name, the order number, the article and the problem, one a line.",
                                       "Read the message and fill in the form: Name, Order, Article, Problem.",
                                       "A customer writes to the shop. Note down who it is, which order it concerns, "
                                       "which article, and what is wrong."};
    static const char *const articles[] = {"desk lamp",     "rain jacket",   "bread knife", "travel kettle",
                                           "wool blanket",  "garden hose",   "alarm clock", "picture frame",
                                           "chess set",     "camping stove", "tea pot",     "bicycle bell",
                                           "reading chair", "door mat",      "bird feeder", "suitcase"};
    static const struct {
        const char *said, *problem;
    } problems[] = {{"it arrived with a deep scratch across the front", "scratched"},
                    {"the box was empty when I opened it", "missing from the box"},
                    {"it stopped working after only two days", "stopped working"},
                    {"you sent me the wrong colour", "wrong colour"},
                    {"it is much smaller than the picture promised", "too small"},
                    {"the parcel has not turned up in three weeks", "not delivered"},
                    {"one of the screws was missing", "a part is missing"},
                    {"I was charged for it twice", "charged twice"},
                    {"it smells so strongly of glue that I cannot use it", "smells of glue"},
                    {"the handle broke off on the first evening", "handle broke off"}};
    static const char *const ways[] = {
        "Hello, my name is %1 %2. Last week I bought a %4 from you (order %3), but %5. What can we do about it?",
        "Dear shop, I am writing about order %3. I was looking forward to the %4, and then %5. Kind regards, %1 %2",
        "The %4 from my order %3 is a disappointment: %5. Please get in touch. Yours, %1 %2",
        "%1 %2 here. I have a question about the %4 that I ordered in your online shop. Sadly %5. The number on the "
        "bill is %3. Thank you for your help!"};
    char number[16];
    unsigned which = below(state, COUNT(problems));
    const char *first = PICK(state, first_names), *last = PICK(state, surnames), *article = PICK(state, articles);
    digits_of(1000 + (int)below(state, 9000), number);
    put(&r->instruction, PICK(state, asks));
    FILL(&r->input, PICK(state, ways), first, last, number, article, problems[which].said);
    FILL(&r->output, "Name: %1 %2\nOrder: %3\nArticle: %4\nProblem: %5", first, last, number, article,
         problems[which].problem);
}

/* ---- Notes to sentences ---- */

static void make_portrait(uint64_t *state, row *r) {
    static const char *const jobs[] = {"beekeeper", "clockmaker",      "nurse",        "bus driver", "violin teacher",
                                       "baker",     "bridge engineer", "gardener",     "translator", "vet",
                                       "carpenter", "librarian",       "cartographer", "welder",     "ferry captain"};
    static const char *const loves[] = {"long walks by the river", "old detective films",    "growing pumpkins",
                                        "singing in a choir",      "restoring radios",       "chess",
                                        "baking with rye flour",   "swimming in cold lakes", "drawing birds",
                                        "collecting maps",         "mountain cycling",       "brewing ginger beer"};
    char year[16];
    const char *first = PICK(state, first_names), *last = PICK(state, surnames), *job = PICK(state, jobs),
               *town = PICK(state, towns), *love = PICK(state, loves);
    const char *article = strchr("aeiou", job[0]) ? "an" : "a";
    digits_of(1985 + (int)below(state, 38), year);
    FILL(&r->input, "name: %1 %2; work: %3; place: %4; since: %5; free time: %6", first, last, job, town, year, love);
    if (below(state, 2)) {
        put(&r->instruction, "Write a short portrait of the person from these notes, in two sentences.");
        FILL(&r->output, "%1 %2 has worked as %7 %3 in %4 since %5. When the day's work is done, %1 enjoys %6.", first,
             last, job, town, year, love, article);
    } else {
        put(&r->instruction, "Make one sentence out of these notes.");
        FILL(&r->output, "%1 %2, who enjoys %6, has been %7 %3 in %4 since %5.", first, last, job, town, year, love,
             article);
    }
}

static void make_notice(uint64_t *state, row *r) {
    static const char *const places[] = {"the town museum",      "the swimming pool",  "the public library",
                                         "the botanical garden", "the old lighthouse", "the market hall",
                                         "the planetarium",      "the toy workshop"};
    static const char *const reasons[] = {"the roof is being repaired",
                                          "the boiler has to be replaced",
                                          "a new exhibition is being set up",
                                          "the staff are on a training course",
                                          "the floors are being polished",
                                          "a film is being shot there",
                                          "the electrician is renewing the wiring"};
    char from[16], to[16], again[16];
    unsigned day = below(state, 20), month = below(state, 12);
    const char *place = PICK(state, places), *reason = PICK(state, reasons), *town = PICK(state, towns);
    digits_of((int)day + 1, from);
    int last = (int)day + 3 + (int)below(state, 6);
    digits_of(last, to);
    digits_of(last + 1, again);
    FILL(&r->input, "what: %1 of %2; closed: %3 to %4 %5; why: %6", place, town, from, to, months[month], reason);
    put(&r->instruction, PICK(state, ((const char *const[]){"Write a friendly notice for the door from these notes.",
                                                            "Turn the notes into a notice for visitors."})));
    FILL(&r->output,
         "Dear visitors, %7 of %1 will be closed from %2 to %3 %4 because %5. We are sorry for the trouble and look "
         "forward to seeing you again on %6 %4.",
         town, from, to, months[month], reason, again, place);
}

static void make_weather(uint64_t *state, row *r) {
    static const char *const skies[] = {"fog",         "light rain",    "heavy snow", "sunshine",
                                        "thick cloud", "thunderstorms", "drizzle",    "clear skies"};
    static const char *const winds[] = {"a light breeze from the west", "a cold wind from the north", "hardly any wind",
                                        "strong gusts from the sea", "a warm wind from the south"};
    char low[16], high[16];
    int coldest = (int)below(state, 14) - 3;
    unsigned a = below(state, COUNT(skies));
    const char *morning = skies[a], *later = skies[(a + 1 + below(state, COUNT(skies) - 1)) % COUNT(skies)],
               *wind = PICK(state, winds), *town = PICK(state, towns), *day = days[below(state, 7)];
    digits_of(coldest, low);
    digits_of(coldest + 4 + (int)below(state, 9), high);
    FILL(&r->input, "place: %1; day: %2; morning: %3; afternoon: %4; wind: %5; degrees: %6 to %7", town, day, morning,
         later, wind, low, high);
    put(&r->instruction,
        PICK(state, ((const char *const[]){"Write the weather forecast as it would be read on the radio.",
                                           "Turn these notes into a weather forecast of two sentences."})));
    FILL(&r->output,
         "In %1, %2 starts with %3, followed by %4 in the afternoon. Temperatures lie between %6 and %7 degrees, with "
         "%5.",
         town, day, morning, later, wind, low, high);
}

void make_sentences(uint64_t *state, row *r) {
    static void (*const kinds[])(uint64_t *, row *) = {make_portrait, make_notice, make_weather};
    PICK(state, kinds)(state, r);
}

/* ---- Scenes with a question ---- */

void make_scene(uint64_t *state, row *r) {
    static const char *const things[] = {"the silver key",    "a letter from the bank", "the spare batteries",
                                         "an old photograph", "the train tickets",      "a jar of plum jam",
                                         "the chess clock",   "the garden scissors",    "a green scarf",
                                         "the violin case",   "the box of matches",     "a map of the coast"};
    static const char *const spots[] = {"under the stairs",      "on the top shelf",           "behind the radio",
                                        "in the bottom drawer",  "beside the piano",           "inside the red tin",
                                        "on the window sill",    "under a pile of newspapers", "in the bicycle basket",
                                        "between two cook books"};
    static const char *const reasons[] = {"because the doorbell rang",
                                          "because the phone would not stop",
                                          "before going out to feed the hens",
                                          "to have both hands free",
                                          "so that the children would not find it",
                                          "because it had begun to rain and the washing was still outside"};
    static const char *const later[] = {"Later that day %1 came home tired and made a pot of tea.",
                                        "In the evening %1 sat by the fire and wondered what the noise upstairs was.",
                                        "%1, who had been at the market all morning, brought back a basket of pears.",
                                        "After lunch %1 swept the yard and whistled an old song."};
    static const char *const asks[] = {"Read the scene and answer the question in one sentence.",
                                       "Answer the question about the text with a full sentence."};
    unsigned a = below(state, COUNT(first_names)), s = below(state, COUNT(spots));
    const char *one = first_names[a],
               *two = first_names[(a + 1 + below(state, COUNT(first_names) - 1)) % COUNT(first_names)];
    const char *thing = PICK(state, things), *spot = spots[s],
               *other = spots[(s + 1 + below(state, COUNT(spots) - 1)) % COUNT(spots)], *reason = PICK(state, reasons);
    put(&r->instruction, PICK(state, asks));
    FILL(&r->input, "%1 put %2 %3 %4. ", one, thing, spot, reason);
    FILL(&r->input, PICK(state, later), two);
    switch (below(state, 4)) {
    case 0:
        FILL(&r->input, " Question: Where did %1 put %2?", one, thing);
        FILL(&r->output, "%1 put %2 %3.", one, thing, spot);
        break;
    case 1:
        FILL(&r->input, " Question: Who put %1 %2?", thing, spot);
        FILL(&r->output, "It was %1 who put %2 %3.", one, thing, spot);
        break;
    case 2:
        FILL(&r->input, " Then %1 moved %2, and now it is %3. Question: Where is %2 now?", two, thing, other);
        FILL(&r->output, "Now %1 is %2, because %3 moved it there.", thing, other, two);
        break;
    default:
        FILL(&r->input, " Question: What did %1 put %2?", one, spot);
        FILL(&r->output, "%1 put %2 %3.", one, thing, spot);
    }
}

/* ---- Order, number, date ---- */

static void make_date(uint64_t *state, row *r) {
    static const char *const ordinals[] = {
        "first",        "second",       "third",          "fourth",        "fifth",        "sixth",
        "seventh",      "eighth",       "ninth",          "tenth",         "eleventh",     "twelfth",
        "thirteenth",   "fourteenth",   "fifteenth",      "sixteenth",     "seventeenth",  "eighteenth",
        "nineteenth",   "twentieth",    "twenty-first",   "twenty-second", "twenty-third", "twenty-fourth",
        "twenty-fifth", "twenty-sixth", "twenty-seventh", "twenty-eighth"};
    static const char *const events[] = {
        "The bridge was opened on %1.",    "Her grandfather was born on %1.",
        "The contract ends on %1.",        "They met for the first time on %1.",
        "The last steam train ran on %1.", "The school celebrates its founding on %1."};
    unsigned day = below(state, 28), month = below(state, 12);
    char number[16], year[16], iso[48];
    text words = {0};
    digits_of((int)day + 1, number);
    digits_of(1890 + (int)below(state, 140), year);
    switch (below(state, 3)) {
    case 0:
        FILL(&words, "the %1 of %2 %3", ordinals[day], months[month], year);
        break;
    case 1:
        FILL(&words, "%2 %1, %3", number, months[month], year);
        break;
    default:
        FILL(&words, "%1 %2 %3", number, months[month], year);
    }
    snprintf(iso, sizeof iso, "%s-%02u-%02u", year, month + 1, day + 1);
    put(&r->instruction, PICK(state, ((const char *const[]){"Write the date in the sentence as year-month-day.",
                                                            "Which date is meant? Answer in the form YYYY-MM-DD."})));
    FILL(&r->input, PICK(state, events), words.at);
    put(&r->output, iso);
}

static int compare_words(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void make_order(uint64_t *state, row *r) {
    static const char *const words[] = {
        "anchor",   "basket", "candle", "desert", "engine",  "feather", "glacier", "hammer",  "island", "jacket",
        "kettle",   "ladder", "meadow", "needle", "orchard", "parrot",  "quarry",  "ribbon",  "saddle", "tunnel",
        "umbrella", "valley", "window", "yellow", "zebra",   "bottle",  "copper",  "dolphin", "fiddle", "garden"};
    const char *chosen[4];
    unsigned at = below(state, COUNT(words));
    put(&r->instruction, PICK(state, ((const char *const[]){"Put these words into alphabetical order.",
                                                            "Sort the words from A to Z."})));
    for (unsigned i = 0; i < 4; i++) {
        chosen[i] = words[at];
        at = (at + 1 + below(state, 7)) % COUNT(words);
    }
    for (unsigned i = 3; i > 0; i--) {
        unsigned j = below(state, i + 1);
        const char *kept = chosen[i];
        chosen[i] = chosen[j];
        chosen[j] = kept;
    }
    FILL(&r->input, "%1, %2, %3, %4", chosen[0], chosen[1], chosen[2], chosen[3]);
    qsort(chosen, 4, sizeof *chosen, compare_words);
    FILL(&r->output, "%1, %2, %3, %4", chosen[0], chosen[1], chosen[2], chosen[3]);
}

static void make_sum(uint64_t *state, row *r) {
    static const char *const stories[] = {"%1 has %2 %4 and gets %3 more from a neighbour.",
                                          "There are %2 %4 on the table, and %1 brings another %3.",
                                          "%1 counted %2 %4 in the morning and %3 in the afternoon."};
    static const char *const things[] = {"walnuts", "marbles", "postcards", "seashells",
                                         "pencils", "pears",   "buttons",   "tickets"};
    char a[16], b[16], sum[16];
    int left = 2 + (int)below(state, 30), right = 2 + (int)below(state, 20);
    const char *name = PICK(state, first_names), *thing = PICK(state, things);
    digits_of(left, a);
    digits_of(right, b);
    digits_of(left + right, sum);
    put(&r->instruction, PICK(state, ((const char *const[]){"How many are there in all? Show the sum.",
                                                            "Add up and answer in one sentence with the sum."})));
    FILL(&r->input, PICK(state, stories), name, a, b, thing);
    FILL(&r->output, "%1 + %2 = %3, so there are %3 %4 in all.", a, b, sum, thing);
}

void make_small(uint64_t *state, row *r) {
    static void (*const kinds[])(uint64_t *, row *) = {make_date, make_order, make_sum};
    PICK(state, kinds)(state, r);
}
