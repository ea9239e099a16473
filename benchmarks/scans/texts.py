"""The letters: written for this purpose, some 850 characters each, with the amounts and dates that letters have."""

TEXTS: dict[str, str] = {
    "en": """\
The council of the borough considered the application on 14 March 2029 and heard the owner of the workshop, who asked
that the fee of 1,250.00 euros be paid in four parts. The treasurer explained that the rules allow this only where the
whole sum would put the business at risk, and that a written statement of income has to be enclosed.

After a short debate the members agreed to the request with nine votes against two. The first part is due within thirty
days of this letter; the others follow every three months. Whoever pays late owes interest of 4 per cent a year, and
the remaining sum may then be claimed at once.

An appeal against this decision can be lodged in writing with the county court until 30 June 2029. It does not suspend
the duty to pay. Questions about the account are answered by Mrs Whitfield on weekday mornings, telephone
020 5550 1837, reference number RB-2029-00417.
""",
    "fr": """\
Le conseil municipal a examiné la demande lors de sa séance du 14 mars 2029 et a entendu le propriétaire de l’atelier,
qui souhaitait régler la redevance de 1 250,00 euros en quatre versements. La trésorière a rappelé que le règlement ne
le permet que si le paiement de la somme entière mettait l’entreprise en péril, et qu’une attestation de revenus doit
être jointe au dossier.

Après un bref échange, les élus ont accepté par neuf voix contre deux. Le premier versement est dû dans les trente jours
suivant la réception de cette lettre ; les autres suivront chaque trimestre. Tout retard entraîne des intérêts de
4 pour cent par an, et le solde pourra alors être exigé sans délai.

Un recours peut être déposé par écrit auprès du tribunal administratif jusqu’au 30 juin 2029 ; il n’est pas suspensif.
Pour toute question, Mme Lefèvre vous répond le matin au 01 55 50 18 37, référence RB-2029-00417.
""",
    "de": """\
Der Gemeinderat hat den Antrag in seiner Sitzung vom 14. März 2029 geprüft und den Eigentümer der Werkstatt angehört,
der darum bat, die Gebühr von 1.250,00 Euro in vier Raten zahlen zu dürfen. Die Kämmerin erläuterte, dass die Satzung
dies nur erlaubt, wenn die Zahlung des vollen Betrages den Betrieb gefährden würde, und dass ein Nachweis über die
Einkünfte beizufügen ist.

Nach kurzer Aussprache stimmten neun Mitglieder dafür und zwei dagegen. Die erste Rate ist binnen dreißig Tagen nach
Zugang dieses Schreibens fällig, die übrigen folgen jeweils nach drei Monaten. Wer verspätet zahlt, schuldet Zinsen von
4 Prozent im Jahr; der Rest kann dann sofort gefordert werden.

Gegen diesen Bescheid kann bis zum 30. Juni 2029 schriftlich Widerspruch eingelegt werden; er hat keine aufschiebende
Wirkung. Rückfragen beantwortet Frau Größling werktags unter 030 5550 1837, Aktenzeichen RB-2029-00417.
""",
    "es": """\
El pleno del ayuntamiento examinó la solicitud en la sesión del 14 de marzo de 2029 y escuchó al dueño del taller, que
pedía pagar la tasa de 1.250,00 euros en cuatro plazos. La tesorera explicó que la ordenanza solo lo permite cuando el
pago de la suma completa pondría en peligro la empresa, y que debe añadirse una declaración de ingresos.

Tras un breve debate, los concejales aceptaron por nueve votos contra dos. El primer plazo vence a los treinta días de
recibir esta carta; los demás, cada tres meses. Quien se retrase deberá un interés del 4 por ciento al año, y entonces
podrá exigirse el resto de inmediato.

Contra esta resolución cabe recurso por escrito ante el juzgado hasta el 30 de junio de 2029; no suspende la obligación
de pagar. La señora Ibáñez atiende las preguntas por la mañana en el teléfono 91 555 01 83, expediente RB-2029-00417.
""",
    "it": """\
Il consiglio comunale ha esaminato la domanda nella seduta del 14 marzo 2029 e ha ascoltato il proprietario
dell’officina, che chiedeva di pagare il canone di 1.250,00 euro in quattro rate. La tesoriera ha spiegato che il
regolamento lo consente soltanto se il pagamento dell’intera somma metterebbe in pericolo l’impresa, e che occorre
allegare una dichiarazione dei redditi.

Dopo una breve discussione i consiglieri hanno accettato con nove voti contro due. La prima rata scade entro trenta
giorni dal ricevimento di questa lettera; le altre seguono ogni tre mesi. Chi paga in ritardo deve un interesse del
4 per cento all’anno, e il resto può essere chiesto subito.

Contro questa decisione si può ricorrere per iscritto fino al 30 giugno 2029; il ricorso non sospende il pagamento. Per
ogni domanda risponde la signora Bellucci, la mattina, al numero 06 5550 1837, pratica RB-2029-00417.
""",
    "nl": """\
De gemeenteraad heeft de aanvraag behandeld in de vergadering van 14 maart 2029 en de eigenaar van de werkplaats
gehoord, die vroeg om het recht van 1.250,00 euro in vier delen te mogen betalen. De penningmeester legde uit dat de
verordening dit alleen toestaat wanneer betaling van het hele bedrag het bedrijf in gevaar zou brengen, en dat een
opgave van het inkomen moet worden bijgevoegd.

Na een korte bespreking stemden negen leden voor en twee tegen. Het eerste deel is verschuldigd binnen dertig dagen na
ontvangst van deze brief; de overige volgen telkens na drie maanden. Wie te laat betaalt, is een rente van 4 procent per
jaar verschuldigd, en de rest kan dan meteen worden geëist.

Tegen dit besluit kan tot 30 juni 2029 schriftelijk bezwaar worden gemaakt; de plicht tot betaling blijft bestaan.
Mevrouw Kuijpers beantwoordt vragen op werkdagen, telefoon 020 555 01 83, kenmerk RB-2029-00417.
""",
    "pl": """\
Rada gminy rozpatrzyła wniosek na posiedzeniu w dniu 14 marca 2029 roku i wysłuchała właściciela warsztatu, który
prosił o rozłożenie opłaty w wysokości 1250,00 euro na cztery raty. Skarbniczka wyjaśniła, że przepisy pozwalają na to
tylko wtedy, gdy zapłata całej sumy zagroziłaby przedsiębiorstwu, i że należy dołączyć zaświadczenie o dochodach.

Po krótkiej dyskusji radni zgodzili się dziewięcioma głosami przeciw dwóm. Pierwsza rata jest płatna w ciągu trzydziestu
dni od otrzymania tego pisma, następne co trzy miesiące. Kto płaci z opóźnieniem, winien jest odsetki w wysokości
4 procent rocznie, a pozostałej kwoty można wówczas żądać natychmiast.

Od tej decyzji można odwołać się na piśmie do 30 czerwca 2029 roku; odwołanie nie wstrzymuje obowiązku zapłaty. Na
pytania odpowiada pani Wiśniewska w dni robocze, telefon 22 555 01 83, znak sprawy RB-2029-00417.
""",
    "el": """\
Το δημοτικό συμβούλιο εξέτασε την αίτηση στη συνεδρίαση της 14ης Μαρτίου 2029 και άκουσε τον ιδιοκτήτη του εργαστηρίου,
ο οποίος ζήτησε να πληρώσει το τέλος των 1.250,00 ευρώ σε τέσσερις δόσεις. Η ταμίας εξήγησε ότι ο κανονισμός το
επιτρέπει μόνο όταν η καταβολή ολόκληρου του ποσού θα έβαζε σε κίνδυνο την επιχείρηση, και ότι πρέπει να υποβληθεί
δήλωση εισοδήματος.

Μετά από σύντομη συζήτηση τα μέλη δέχτηκαν το αίτημα με εννέα ψήφους έναντι δύο. Η πρώτη δόση καταβάλλεται μέσα σε
τριάντα ημέρες από την παραλαβή αυτής της επιστολής και οι άλλες κάθε τρεις μήνες. Όποιος καθυστερεί οφείλει τόκο
4 τοις εκατό τον χρόνο, και τότε το υπόλοιπο μπορεί να ζητηθεί αμέσως.

Κατά της απόφασης επιτρέπεται γραπτή προσφυγή έως τις 30 Ιουνίου 2029· δεν αναστέλλει την πληρωμή. Στις ερωτήσεις
απαντά η κυρία Παπαδοπούλου τα πρωινά, τηλέφωνο 210 555 0183, αριθμός φακέλου 2029/00417.
""",
}
"""ISO 639-1 -> text; a paragraph ends at an empty line, single line breaks mean nothing."""

TEXTS = {language: "\n\n".join(" ".join(p.split()) for p in text.split("\n\n")) for language, text in TEXTS.items()}
