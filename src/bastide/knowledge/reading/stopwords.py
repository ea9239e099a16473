"""Words too frequent to tell one passage from another, per language; also what betrays a language.

Short on purpose: articles, prepositions, conjunctions, pronouns, auxiliaries. "not" and its sisters stay
searchable where they carry law ("may not"), because a posting costs less than a lost meaning.
"""

_LISTS: dict[str, str] = {
    "en": "a an and any are as at be been being but by can could did do does for from had has have he her him his "
    "how i if in into is it its may me more most my of on or our shall she should so such than that the their "
    "them then there these they this those to under upon us was we were what when where which while who whom "
    "whose will with would you your s t must whether",
    "de": "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis da damit dann das dass "
    "dein dem den denen der deren des dessen die dies diese diesem diesen dieser dieses doch dort du durch "
    "ein eine einem einen einer eines er es etwas euch für hab habe haben hat hatte hatten ich ihm ihn ihnen "
    "ihr ihre ihrem ihren ihrer im in ins ist ja je jede jedem jeden jeder jedes kann können man mein mit "
    "muss nach nun nur ob oder ohne sein seine seinem seinen seiner sich sie sind so soll sollen sowie über "
    "um und uns unser unter vom von vor war waren was weil welche welchem welchen welcher welches wenn wer "
    "werden wie wir wird wo wurde wurden zu zum zur zwischen wann warum weshalb wieso wofür",
    "fr": "a à ai ainsi après au aucun aucune aussi autre autres aux avait avant avec avoir c ça car ce ceci cela "
    "celle celles celui ces cet cette ceux chez comme d dans de des donc dont du elle elles en entre est et "
    "été être eu fait il ils j je l la le les leur leurs lors lui m ma mais me même mes moi mon n ni nos "
    "notre nous on ont ou où par peut pour qu quand que quel quelle quelles quels qui s sa sans se sera ses "
    "si son sont sous sur t ta te tes toi ton tous tout toute toutes tu un une vers vos votre vous y combien "
    "comment lequel laquelle lesquels pourquoi quoi",
    "nl": "aan al alle als anders bij daar dan dat de deze die dit doch doen door dus een en er ge geen had hebben "
    "heeft hem hen het hier hij hoe hun ik in indien is je kan kunnen maar me meer men met mij mijn moet "
    "moeten na naar nog nu of om omdat onder ons ook op over reeds te tegen toch toen tot u uit uw van veel "
    "voor waar wanneer waren was wat we welke wel werd wie wij wil word worden wordt zal ze zelf zich zij "
    "zijn zo zonder zou hoeveel waarom waarin welk",
    "es": "a al algo algún alguna ante antes aquel aquella así aun aunque bajo cada como con contra cual cuales "
    "cuando de del desde donde dos e el ella ellas ellos en entre era es esa ese eso esta está están este "
    "esto estos estas fue ha había han hasta hay la las le les lo los más me mi mientras muy ni nos o otra "
    "otras otro otros para pero por porque puede que qué quien quienes se sea ser será si sí sido sin sobre "
    "son su sus también tan tanto te tiene todo todos tras tu u un una unas uno unos y ya yo cuándo cuál "
    "cuáles cuánto cómo dónde",
    "it": "a ad agli ai al all alla alle allo anche ancora avere aveva c che chi ci ciò coi col come con contro cui "
    "d da dagli dai dal dall dalla dalle dallo degli dei del dell della delle dello di dopo dove e è ed egli "
    "era erano essa esse essere essi esso fra gli ha hanno i il in io l la le lei li lo loro lui ma me mentre "
    "mi mia mio ne negli nei nel nell nella nelle nello noi nostro o ogni oppure per perché però più può qua "
    "qual quale quali quando quanto quegli quei quel quella quelle quello questa queste questi questo qui s "
    "se sé sei si sia siano sono stata stato su sua sue sugli sui sul sull sulla sulle sullo suo suoi tra tu "
    "tutti tutto un una uno v vi cosa quanti quanta",
    "pt": "a à ao aos aquela aquele aquilo as às até com como contra da das de dela dele deles depois do dos e é "
    "ela elas ele eles em entre era essa essas esse esses esta está estão estas este estes eu foi foram há "
    "isso isto já lhe lhes mais mas me mesmo meu minha muito na nas nem no nos nós nossa nosso num numa o os "
    "ou para pela pelas pelo pelos pode por porque qual quais quando que quem se seja sem ser será seu seus "
    "só sob sobre sua suas também te tem têm todo todos tu um uma umas uns você quanto onde",
    "pl": "a aby albo ale ani bez bo by być był była było były bądź ci co czy dla do gdy gdzie go i ich ile im ją "
    "jako jak jakie jako jeg jego jej jemu jest jestem jeśli jeżeli już każdy kiedy kto która które którego "
    "której który których którym którzy lub ma mają mi może mu my na nad nam nas natomiast niej nim nich no o "
    "od oraz po pod podczas ponieważ poza przed przez przy są się sobie swoje ta tak także tam te tego tej "
    "temu ten to tu ty tych tylko tym u w we wszystkie wszystkich z za ze został została zostały że dlaczego "
    "jaka jaki",
    "ro": "a acea aceasta această acest acesta aceste acestea acestor ai al ale am ar are as asupra atunci au avea "
    "această că căci cand când care cărei căror cărui ce cel cele celor cei cine cu cum da dacă dar de deci "
    "despre din dintre după ea ei el ele era este eu fi fie fiind fost iar în în înainte îi îl între își l la "
    "le li lor lui mai mea mele meu mi mult ne nici noi nostru nu o oricare ori pe pentru poate prin sa să "
    "sale sau se și si sub sunt sus te tot toate toți tu un una unde unei unor unui va vor vă voi cât câte",
    "el": "α αλλά αν από αυτά αυτές αυτή αυτό αυτοί αυτός αυτού αυτών για γιατί δε δεν δια δύο εάν είναι είτε εκ "
    "εκείνη εκείνο εκείνος ενός ενώ επί επίσης έχει έχουν εφόσον ή η ήταν θα ίδιο κάθε και κατά κάτω με μέσω "
    "μετά μεταξύ μέχρι μη μην μια μία μιας μόνο να ο οι όλα όλες όλοι όμως όπου όπως όσο όταν ότι ου ούτε όχι "
    "πάνω παρά περί που πρέπει πριν προς πώς σαν σας σε στα στη στην στις στο στον στους στων συν τα τη την "
    "της τι τις το τον τότε του τους των ώστε ως",
    "sv": "alla allt än är att av blev bli blir de deras dem den denna deras dess dessa det detta dig din du där då "
    "efter ej eller en ett för från få får ha hade han hans har hon honom hur i icke ingen innan jag ju kan "
    "kunde man med mellan men mig min mot mycket när någon något några nu och också om oss på samma samt ska "
    "skall sedan sig sin sina sitt skulle som så till under upp ut utan vad var vara varit vi vid vilka "
    "vilken vilket varför",
    "da": "af alle alt anden andet andre at blev blive bliver da de dem den denne der deres det dette dig din disse "
    "dog du efter eller en end er et for fra få får had han hans har havde hende her hun hvad hvem hver "
    "hvilke hvilken hvis hvor hvordan hvornår i ikke ind jeg jer jo kan kunne man mange med meget mellem men "
    "mig min mod når ned noget nogle nu og også om op os over på samt selv sig sin skal skulle som sådan så "
    "til ud under var ved vi vil ville være været hvorfor hvilket",
    "fi": "ei eivät ennen että ei hän hänen häntä he heidän ja jo joiden joissa joita joka jolla jollei jolloin "
    "jonka jos jossa josta jota jotka jotta kaikki kanssa kuin kuinka kuka kun kunnes lisäksi me mihin mikä "
    "mikäli minä missä mistä mitä miten mukaan mutta myös ne niiden niin niitä noin nyt ole oleva olevan oli "
    "olisi olivat olla on ovat saa se sekä sen siellä siinä siitä sillä sitä taikka tai tämä tämän tässä "
    "tästä tätä te tulee vaan vai vaikka voi voivat miksi milloin",
    "cs": "a aby aj ale anebo ani až bez bude budou by byl byla byli bylo být co což či dále do ho i jak jako je "
    "jeho jej její jejich jen ještě jestliže již jsem jsme jsou jste k kam kde kdo kdy když ke která které "
    "kterého kterou který kteří li má mají me mezi mi může my na nad nám nás nebo nebyl než o od on ona oni "
    "pak po pod podle pokud pro proto při před s se si své svůj ta tak také tato te tedy ten tento této tím "
    "to tohoto tomu toto tu ty tyto u už v ve však vy z za ze že jaké jaký kolik proč",
    "hu": "a ahogy aki akik akkor által általában amely amelyek amelyet ami amíg arra át az azok azon azonban azt "
    "azzal be csak de e egy egyéb egyes ehhez ekkor el ez ezek ezen ezért ezt ezzel fel ha hanem hogy hozzá "
    "illetve is itt kell ki kívül közben között le legyen lehet lesz majd még meg melyek mely mert mi miatt "
    "mint minden mindig most nem ő ők olyan ön össze ott pedig s saját sem során szerint szemben tehát "
    "továbbá úgy utána vagy valamint van vannak volt voltak hogyan melyik mennyi mikor miért",
}

STOPWORDS: dict[str, frozenset[str]] = {language: frozenset(words.split()) for language, words in _LISTS.items()}
